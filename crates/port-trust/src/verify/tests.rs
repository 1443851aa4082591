//! Each attack by its name. The signatures here are made by keys of the tests, or by cosign.

use super::*;
use crate::key::KeyKind;
use crate::requirement::Identities;
use crate::secret_key::SecretKey;
use crate::{dsse, name::Pattern};

const COSIGN_KEY: &str = include_str!("../../tests/golden/cosign/cosign.pub");
const COSIGN_BUNDLE: &[u8] = include_bytes!("../../tests/golden/cosign/bundle.json");
const COSIGN_ATTESTATION: &[u8] = include_bytes!("../../tests/golden/cosign/attestation.json");
const COSIGN_PAYLOAD: &[u8] = include_bytes!("../../tests/golden/cosign/payload.json");
const COSIGN_SIGNATURE: &str = include_str!("../../tests/golden/cosign/signature.txt");
const CUSTOM: &str = "https://cosign.sigstore.dev/attestation/v1";
const NAME: &str = "ghcr.io/acme/demo";

fn secret(seed: u8) -> SecretKey {
    let kind = if seed.is_multiple_of(2) { KeyKind::Ed25519 } else { KeyKind::P256 };
    SecretKey::from_entropy(kind, &[seed; 32]).unwrap()
}

fn requirement(threshold: usize, seeds: &[u8]) -> Requirement {
    let named = |seed: &u8| NamedKey { name: format!("key-{seed}"), key: secret(*seed).public() };
    Requirement {
        keys: seeds.iter().map(named).collect(),
        others: vec![named(&90)],
        threshold,
        identities: Identities::Own,
    }
}

fn subject() -> Digest {
    Digest::sha256(&[0xab; 32])
}

fn other() -> Digest {
    Digest::sha256(&[0xcd; 32])
}

fn simple(seed: u8, payload: Vec<u8>) -> Candidate {
    let signature = crate::base64::encode(&secret(seed).sign(&payload));
    Candidate {
        place: format!("tag, by {seed}"),
        form: Form::Tag,
        signed: Signed::Simple { payload, signature },
    }
}

fn tag(seed: u8, of: &Digest) -> Candidate {
    simple(seed, simple_signing::payload(of, NAME))
}

fn referrer(bytes: Vec<u8>) -> Candidate {
    Candidate { place: "referrer".to_owned(), form: Form::Referrer, signed: Signed::Bundle(bytes) }
}

fn signature(seed: u8, of: &Digest) -> Candidate {
    let statement = Statement::about(of, NAME, statement::SIGNATURE, serde_json::json!({}));
    referrer(bundle::sign(&statement, &secret(seed)))
}

fn attestation(seed: u8, kind: &str, says: &str) -> Candidate {
    let statement = Statement::about(&subject(), NAME, kind, serde_json::json!({ "says": says }));
    referrer(bundle::sign(&statement, &secret(seed)))
}

fn judge_about(about: About<'_>, requirement: &Requirement, candidates: &[Candidate]) -> Judgement {
    let (subject, name) = (subject(), SignedName::parse(NAME).unwrap());
    let question = Question { subject: &subject, name: Some(&name), policy: "the test", about };
    verify(&question, requirement, candidates)
}

fn judge(requirement: &Requirement, candidates: &[Candidate]) -> Judgement {
    judge_about(About::Signature, requirement, candidates)
}

/// Asserts that a candidate alone is refused, and that it neither helps nor hinders a good one.
#[track_caller]
fn refused(candidate: Candidate, expected: &str) {
    let judgement = judge(&requirement(1, &[1, 2]), std::slice::from_ref(&candidate));
    let said = judgement.verdict.explanation().join("\n");
    assert!(judgement.subject.is_none() && !judgement.verdict.allows(), "{said}");
    assert!(said.contains(expected), "{said}");
    let both = [candidate, tag(1, &subject())];
    assert!(judge(&requirement(1, &[1, 2]), &both).subject.is_some());
    assert!(judge(&requirement(2, &[1, 2]), &both).subject.is_none());
}

#[test]
fn both_forms_and_both_kinds_of_keys_count() {
    for seed in [1, 2] {
        for candidate in [tag(seed, &subject()), signature(seed, &subject())] {
            let judgement = judge(&requirement(1, &[1, 2]), &[candidate]);
            assert_eq!(judgement.verdict.decision, Decision::Trusted);
            assert_eq!(judgement.subject.unwrap().get(), &subject());
            assert_eq!(judgement.verdict.findings[0].signer.as_deref(), Some(&*format!("key-{seed}")));
        }
    }
    let two = judge(&requirement(2, &[1, 2]), &[tag(1, &subject()), signature(2, &subject())]);
    assert_eq!((two.verdict.decision, two.verdict.signed_by), (Decision::Trusted, 2));
    assert_eq!(two.verdict.sentence(), "2 of 2 required signatures are valid");
}

#[test]
fn signatures_of_cosign_count() {
    let digest = "sha256:74afb300510e388095c3829323a4b050d1c569e8f19aceb89ed389ccecd04ece".parse().unwrap();
    let name = SignedName::parse("127.0.0.1:5917/acme/demo").unwrap();
    let requirement = Requirement::one_key("cosign", PublicKey::from_pem(COSIGN_KEY).unwrap());
    let simple = Candidate {
        place: "tag".to_owned(),
        form: Form::Tag,
        signed: Signed::Simple { payload: COSIGN_PAYLOAD.to_vec(), signature: COSIGN_SIGNATURE.to_owned() },
    };
    let about_signature = [(simple, true), (referrer(COSIGN_BUNDLE.to_vec()), true)];
    let attestation = referrer(COSIGN_ATTESTATION.to_vec());
    for (candidate, expected) in about_signature.into_iter().chain([(attestation.clone(), false)]) {
        let question =
            Question { subject: &digest, name: Some(&name), policy: "the test", about: About::Signature };
        let judgement = verify(&question, &requirement, &[candidate]);
        assert_eq!(judgement.subject.is_some(), expected, "{:?}", judgement.verdict.explanation());
    }
    let about = About::Statement(CUSTOM);
    let question = Question { subject: &digest, name: Some(&name), policy: "the test", about };
    let statement = verify(&question, &requirement, &[attestation]).statement.unwrap().into_inner();
    assert_eq!(statement.predicate_type, CUSTOM);
}

#[test]
fn t_8_a_signature_of_another_digest_is_refused() {
    refused(tag(1, &other()), &format!("it is over {}", other()));
    refused(signature(2, &other()), &format!("it is over {}", other()));
}

#[test]
fn t_7_a_key_that_is_not_in_the_policy_is_refused() {
    refused(tag(50, &subject()), "no key that counts made it");
    refused(signature(51, &subject()), "no key that counts made it; it says that ");
    refused(tag(90, &subject()), "`key-90` does not count for this name");
}

#[test]
fn t_7_one_key_does_not_meet_a_threshold_of_two() {
    let all = [tag(1, &subject()), signature(1, &subject()), tag(1, &subject())];
    let judgement = judge(&requirement(2, &[1, 2]), &all);
    assert!(judgement.subject.is_none());
    assert_eq!(judgement.verdict.sentence(), "1 of 2 required signatures is valid");
    let outcomes: Vec<_> = judgement.verdict.findings.iter().map(|finding| &finding.outcome).collect();
    assert_eq!(outcomes, [&Outcome::Counted, &Outcome::Repeated, &Outcome::Repeated]);
}

#[test]
fn x_21_another_form_of_one_signature_counts_no_second_time() {
    // The same signature with n - s for s: good as well, by the same key.
    let Signed::Simple { payload, signature } = tag(1, &subject()).signed else { unreachable!() };
    let der = crate::base64::decode(&signature).unwrap();
    let made = p256::ecdsa::Signature::from_der(&der).unwrap();
    let (r, s) = made.split_scalars();
    let turned = p256::ecdsa::Signature::from_scalars(r.to_bytes(), (-s).to_bytes()).unwrap();
    let signature = crate::base64::encode(turned.to_der().as_bytes());
    assert_ne!(turned, made);
    let turned = Candidate { signed: Signed::Simple { payload, signature }, ..tag(1, &subject()) };
    let judgement = judge(&requirement(2, &[1, 2]), &[tag(1, &subject()), turned]);
    assert!(judgement.subject.is_none());
    assert_eq!(judgement.verdict.signed_by, 1);
}

#[test]
fn t_7_a_threshold_of_zero_passes_nothing() {
    assert!(judge(&requirement(0, &[1]), &[]).subject.is_none());
    assert!(judge(&requirement(0, &[1]), &[tag(1, &subject())]).subject.is_none());
}

#[test]
fn t_7_a_stripped_signature_is_refused() {
    let judgement = judge(&requirement(1, &[1]), &[]);
    assert!(judgement.subject.is_none());
    assert_eq!(judgement.verdict.sentence(), "0 of 1 required signatures are valid");
    assert!(judgement.verdict.explanation().contains(&"found: no signature".to_owned()));
}

#[test]
fn x_22_payload_types_are_not_confused() {
    // A statement's bytes, signed as they are, in the tag form; and a payload of the tag form in an envelope.
    let statement = Statement::about(&subject(), NAME, statement::SIGNATURE, serde_json::json!({}));
    refused(simple(1, statement.to_bytes()), "simple-signing payload is not one");
    let envelope = |kind: &str, payload: &[u8], signed_kind: &str| {
        let sig = crate::base64::encode(&secret(1).sign(&dsse::signed_bytes(signed_kind, payload)));
        let payload = crate::base64::encode(payload);
        let json = serde_json::json!({
            "mediaType": bundle::MEDIA_TYPE,
            "verificationMaterial": { "publicKey": { "hint": "" } },
            "dsseEnvelope": { "payload": payload, "payloadType": kind, "signatures": [{ "sig": sig }] },
        });
        referrer(serde_json::to_vec(&json).unwrap())
    };
    let payload = simple_signing::payload(&subject(), NAME);
    refused(
        envelope(simple_signing::MEDIA_TYPE, &payload, simple_signing::MEDIA_TYPE),
        "found `application/vnd.dev.cosign",
    );
    refused(envelope(dsse::IN_TOTO, &payload, dsse::IN_TOTO), "in-toto statement is not one");
    // A payload whose type was changed after it was signed.
    refused(envelope(dsse::IN_TOTO, &statement.to_bytes(), "text/plain"), "no key that counts made it");
    // The type says "Statement", of a version that nobody knows.
    let mut later = statement.clone();
    later.kind = "https://in-toto.io/Statement/v2".to_owned();
    refused(envelope(dsse::IN_TOTO, &later.to_bytes(), dsse::IN_TOTO), "Statement/v2");
}

#[test]
fn x_22_an_attestation_is_no_signature_and_a_signature_no_attestation() {
    refused(attestation(1, statement::SLSA_PROVENANCE, "built"), "found `https://slsa.dev/provenance/v1`");
    for candidate in [tag(1, &subject()), signature(1, &subject())] {
        let about = About::Statement(statement::SLSA_PROVENANCE);
        assert!(judge_about(about, &requirement(1, &[1]), &[candidate]).statement.is_none());
    }
}

#[test]
fn x_22_unknown_critical_fields_and_other_types_are_refused() {
    let text = String::from_utf8(simple_signing::payload(&subject(), NAME)).unwrap();
    for (from, to, expected) in [
        (r#""type":"#, r#""expires":"2020-01-01","type":"#, "simple-signing payload is not one"),
        (
            "cosign container image signature",
            "atomic container signature",
            "found `atomic container signature`",
        ),
        (r#""optional""#, r#""critical":{},"optional""#, "simple-signing payload is not one"),
    ] {
        refused(simple(1, text.replace(from, to).into_bytes()), expected);
    }
}

#[test]
fn x_22_envelopes_with_none_or_two_signatures_are_refused() {
    let Signed::Bundle(bytes) = signature(1, &subject()).signed else { unreachable!() };
    let good: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let one = good["dsseEnvelope"]["signatures"][0].clone();
    for (signatures, expected) in [(vec![], "found 0"), (vec![one.clone(), one], "found 2")] {
        let mut bad = good.clone();
        bad["dsseEnvelope"]["signatures"] = signatures.into();
        refused(referrer(serde_json::to_vec(&bad).unwrap()), expected);
    }
    let mut keyless = good.clone();
    keyless["verificationMaterial"] = serde_json::json!({ "certificate": { "rawBytes": "AA==" } });
    refused(referrer(serde_json::to_vec(&keyless).unwrap()), "signed with a certificate");
    let mut both = good.clone();
    both["messageSignature"] = serde_json::json!({});
    refused(referrer(serde_json::to_vec(&both).unwrap()), "expected a DSSE envelope and nothing else");
    let mut unknown = good;
    unknown["mustUnderstand"] = true.into();
    refused(referrer(serde_json::to_vec(&unknown).unwrap()), "sigstore bundle is not one");
}

#[test]
fn x_22_subjects_none_many_and_of_another_algorithm() {
    let with = |edit: &dyn Fn(&mut Statement)| {
        let mut statement = Statement::about(&subject(), NAME, statement::SIGNATURE, serde_json::json!({}));
        edit(&mut statement);
        referrer(bundle::sign(&statement, &secret(1)))
    };
    refused(with(&|statement| statement.subject.clear()), "it is over no subject");
    refused(
        with(&|statement| statement.subject[0].digest = [("sha512".to_owned(), "ab".repeat(32))].into()),
        "a subject without sha256",
    );
    let many = with(&|statement| {
        let mut another = statement.subject[0].clone();
        another.digest = [("sha256".to_owned(), other().hex().to_owned())].into();
        statement.subject.insert(0, another);
    });
    assert!(judge(&requirement(1, &[1]), &[many]).subject.is_some());
}

#[test]
fn the_pre_hashed_form_of_ed25519_is_told_apart_and_refused() {
    let payload = simple_signing::payload(&subject(), NAME);
    let key = ed25519_dalek::SigningKey::from_bytes(&[2; 32]);
    let hash = <sha2::Sha512 as sha2::Digest>::new_with_prefix(&payload);
    let signature = crate::base64::encode(&key.sign_prehashed(hash, None).unwrap().to_bytes());
    let candidate = Candidate { signed: Signed::Simple { payload, signature }, ..tag(2, &subject()) };
    refused(candidate, "`key-2` made it in the pre-hashed form");
}

#[test]
fn t_10_oversized_and_too_many_signatures_are_refused() {
    refused(simple(1, vec![b' '; 70_000]), "larger than any signature");
    refused(referrer(vec![b' '; 5 << 20]), "at most 4194304 are read");
    refused(referrer("[".repeat(100_000).into_bytes()), "sigstore bundle is not one");
    let mut flood = vec![tag(50, &subject()); MOST_CANDIDATES];
    flood.push(tag(1, &subject()));
    let judgement = judge(&requirement(1, &[1]), &flood);
    assert!(judgement.subject.is_none());
    assert!(judgement.verdict.explanation().join(" ").contains("257 signatures: at most 256"));
}

#[test]
fn a_signature_for_another_name_is_refused() {
    refused(
        simple(1, simple_signing::payload(&subject(), "ghcr.io/evil/demo")),
        "signed as `ghcr.io/evil/demo`",
    );
    let statement =
        Statement::about(&subject(), "ghcr.io/evil/demo", statement::SIGNATURE, serde_json::json!({}));
    refused(referrer(bundle::sign(&statement, &secret(1))), "signed as `ghcr.io/evil/demo`");
    // Listed names are taken, and then a name is asked for.
    let mut requirement = requirement(1, &[1]);
    requirement.identities = Identities::Listed(vec![Pattern::parse("ghcr.io/evil/*").unwrap()]);
    assert!(judge(&requirement, &[referrer(bundle::sign(&statement, &secret(1)))]).subject.is_some());
    assert!(judge(&requirement, &[tag(1, &subject())]).subject.is_none());
    let nameless = Statement::about(&subject(), "", statement::SIGNATURE, serde_json::json!({}));
    assert!(judge(&requirement, &[referrer(bundle::sign(&nameless, &secret(1)))]).subject.is_none());
}

#[test]
fn a_threshold_of_statements_counts_signers_of_the_same_statement() {
    let kind = "https://example.com/update/v1";
    let about = About::Statement(kind);
    let two = requirement(2, &[1, 2, 3]);
    let apart = [attestation(1, kind, "one"), attestation(2, kind, "other")];
    assert!(judge_about(about, &two, &apart).statement.is_none());
    let together = [attestation(3, kind, "other"), attestation(1, kind, "one"), attestation(2, kind, "one")];
    let judgement = judge_about(about, &two, &together);
    assert_eq!(judgement.statement.unwrap().get().predicate["says"], "one");
    assert!(matches!(judgement.verdict.findings[0].outcome, Outcome::OtherStatement(_)));
    // What enough keys signed is all there, whoever comes first; what too few signed never is.
    let one = requirement(1, &[1, 2]);
    let many = [attestation(1, kind, "one"), attestation(3, kind, "stranger"), attestation(1, kind, "other")];
    for (requirement, found, expected) in
        [(&two, &together, vec!["one"]), (&two, &many, vec![]), (&one, &many, vec!["one", "other"])]
    {
        let judgement = judge_about(about, requirement, found);
        let said = judgement.statements.iter().map(|it| it.get().predicate["says"].as_str().unwrap());
        assert_eq!(said.collect::<Vec<_>>(), expected);
    }
}
