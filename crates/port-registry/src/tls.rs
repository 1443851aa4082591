//! What a TLS server said when it hung up: whether it wanted to see another client certificate.
//!
//! In TLS 1.3 the client learns it only after it has sent its request, as a broken connection. Without a look into the
//! cause the user would read "no complete answer" and look at the network.

use std::error::Error;
use std::io;

use rustls::AlertDescription;

/// Why the server did not take this client, if that is what is behind a failed request.
pub(crate) fn wanted_certificate(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        // An `io::Error` leaves out the error that it was made of when asked for its source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = error.downcast_ref().or_else(|| inner.and_then(|inner| inner.downcast_ref()));
        if let Some(rustls::Error::AlertReceived(alert)) = tls {
            return words(*alert);
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
}
