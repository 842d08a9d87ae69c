//! Extracts the merchant's public key from PEM: a public key, a certificate, or a private key.

use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};

use super::credentials::PaySetupError;

pub(crate) fn parse(text: &str) -> Result<ParsedPublicKey, PaySetupError> {
    let unusable = |why: &str| PaySetupError(format!("the merchant's key is not usable: {why}"));
    let pem = pem::parse(text).map_err(|error| unusable(&error.to_string()))?;
    let key = match pem.tag() {
        "PUBLIC KEY" => pem.contents().to_vec(),
        "CERTIFICATE" => subject_public_key(pem.contents())
            .ok_or_else(|| unusable("not a valid certificate"))?
            .to_vec(),
        "PRIVATE KEY" => {
            let pair = KeyPair::from_pkcs8(pem.contents())
                .map_err(|error| unusable(&error.to_string()))?;
            pair.public_key().as_ref().to_vec()
        }
        other => return Err(unusable(&format!("unsupported PEM type `{other}`"))),
    };
    ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
        .map_err(|_| unusable("not an RSA key of at least 2048 bits"))
}

/// Returns the SubjectPublicKeyInfo of an X.509 certificate (RFC 5280, 4.1).
fn subject_public_key(certificate: &[u8]) -> Option<&[u8]> {
    let to_be_signed = element(element(certificate)?.content)?;
    let mut part = element(to_be_signed.content)?;
    if part.tag == VERSION {
        part = element(part.rest)?;
    }
    // Skip serial number, signature algorithm, issuer, validity and subject.
    for _ in 0..5 {
        part = element(part.rest)?;
    }
    Some(part.whole)
}

/// The tag of a certificate's optional version.
const VERSION: u8 = 0xa0;

/// A DER element, and the bytes after it.
struct Element<'d> {
    tag: u8,
    whole: &'d [u8],
    content: &'d [u8],
    rest: &'d [u8],
}

fn element(der: &[u8]) -> Option<Element<'_>> {
    let (&tag, after) = der.split_first()?;
    let (&first, after) = after.split_first()?;
    let (length, after) = if first < 0x80 {
        (usize::from(first), after)
    } else {
        let (bytes, after) = after.split_at_checked(usize::from(first & 0x7f))?;
        if bytes.len() > 4 {
            return None;
        }
        let length = bytes
            .iter()
            .fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        (length, after)
    };
    let (content, rest) = after.split_at_checked(length)?;
    Some(Element {
        tag,
        whole: der.get(..der.len() - rest.len())?,
        content,
        rest,
    })
}
