//! What is behind a failed handshake: a server that wanted to see another client certificate, or one that speaks no TLS.
//!
//! In TLS 1.3 the client learns it only after it has sent its request, as a broken connection. Without a look into the
//! cause the user would read "no complete answer" and look at the network.

use std::error::Error;
use std::io;

use rustls::AlertDescription;

/// Why the server did not take this client, if that is what is behind a failed request.
pub(crate) fn wanted_certificate(error: &(dyn Error + 'static)) -> Option<&'static str> {
    match cause(error)? {
        rustls::Error::AlertReceived(alert) => words(*alert),
        _ => None,
    }
}

/// Whether what answered the handshake was no TLS at all, as a server answers that speaks plain HTTP.
pub(crate) fn speaks_no_tls(error: &(dyn Error + 'static)) -> bool {
    use rustls::InvalidMessage::{InvalidContentType, UnknownProtocolVersion};
    let plain =
        |message: &rustls::InvalidMessage| matches!(message, InvalidContentType | UnknownProtocolVersion);
    matches!(cause(error), Some(rustls::Error::InvalidMessage(message)) if plain(message))
}

/// What TLS has to say about a failed request.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        // An `io::Error` leaves out the error that it was made of when asked for its source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = error.downcast_ref().or_else(|| inner.and_then(|inner| inner.downcast_ref()));
        if tls.is_some() {
            return tls;
        }
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Alerts of a server that are about the client's certificate: there is nothing else of it to complain about so.
fn words(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::CertificateRequired => "it wants a client certificate",
        AlertDescription::UnknownCA => "it does not know the authority of the client certificate",
        AlertDescription::CertificateExpired => "the client certificate has expired",
        AlertDescription::CertificateRevoked => "the client certificate was revoked",
        AlertDescription::AccessDenied => "it refuses whom the client certificate names",
        // TLS 1.2 has no word of its own for "none".
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => "it does not take the client certificate, or wants one",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alert_is_found_however_deep_it_is() {
        let alert = |alert| io::Error::other(rustls::Error::AlertReceived(alert));
        let wanted = alert(AlertDescription::CertificateRequired);
        assert_eq!(wanted_certificate(&wanted), Some("it wants a client certificate"));
        let deeper = io::Error::other(io::Error::other(alert(AlertDescription::UnknownCA)));
        assert!(wanted_certificate(&deeper).is_some());
        assert_eq!(wanted_certificate(&alert(AlertDescription::InternalError)), None);
        assert_eq!(wanted_certificate(&io::Error::other("reset")), None);
    }

    #[test]
    fn an_answer_in_plain_http_is_told_from_a_broken_connection() {
        let message = |message| io::Error::other(io::Error::other(rustls::Error::InvalidMessage(message)));
        assert!(speaks_no_tls(&message(rustls::InvalidMessage::InvalidContentType)));
        assert!(!speaks_no_tls(&message(rustls::InvalidMessage::MessageTooShort)));
        assert!(!speaks_no_tls(&io::Error::other("reset")));
    }
}
