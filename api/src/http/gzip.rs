//! Bodies that may be packed with gzip: read, and unpacked within a bound, so that a small body
//! can't become a large one.

use std::io::Read;

use avalon_core::base::problem::{Problem, ProblemCode};
use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use flate2::read::MultiGzDecoder;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
}

impl Packing {
    /// What the headers say.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => return Ok(Self::Plain),
            (Some(value), None) => value.to_str().unwrap_or_default().trim(),
            (Some(_), Some(_)) => "",
        };
        // `x-gzip` is the same (RFC 9110, 8.4.1.3).
        if value.eq_ignore_ascii_case("gzip") || value.eq_ignore_ascii_case("x-gzip") {
            Ok(Self::Gzip)
        } else if value.eq_ignore_ascii_case("identity") {
            Ok(Self::Plain)
        } else {
            Err(Problem::new(ProblemCode::UnsupportedMediaType)
                .with_detail("Content-Encoding must be gzip, or not there."))
        }
    }

    /// The body as it was before it was packed, of at most `most` bytes.
    pub(crate) fn unpack(self, body: Bytes, most: usize) -> Result<Bytes, Problem> {
        match self {
            Self::Plain => Ok(body),
            Self::Gzip => gunzip(&body, most).map(Bytes::from),
        }
    }
}

fn gunzip(body: &[u8], most: usize) -> Result<Vec<u8>, Problem> {
    let mut unpacked = Vec::with_capacity(body.len().saturating_mul(4).min(most));
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(body)
        .take(bound)
        .read_to_end(&mut unpacked)
        .map_err(|_| {
            Problem::new(ProblemCode::BodyNotJson).with_detail("The body is not gzip, or cut off.")
        })?;
    if unpacked.len() > most {
        return Err(Problem::new(ProblemCode::BodyTooLarge)
            .with_detail(format!("The body may have at most {most} bytes, unpacked.")));
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bomb_is_refused_and_what_just_fits_is_not() {
        let unpack = |bytes: usize| Packing::Gzip.unpack(packed(&vec![b' '; bytes]).into(), 1000);
        assert_eq!(unpack(1000).unwrap().len(), 1000);
        for bomb in [1001, 50_000_000] {
            assert_eq!(unpack(bomb).unwrap_err().code, ProblemCode::BodyTooLarge);
        }
    }

    #[test]
    fn what_is_not_gzip_is_told_from_what_is() {
        let code = |body: Vec<u8>| Packing::Gzip.unpack(body.into(), 100).unwrap_err().code;
        assert_eq!(code(b"{}".to_vec()), ProblemCode::BodyNotJson);
        let mut cut = packed(b"hello, hello, hello");
        cut.truncate(cut.len() - 5);
        assert_eq!(code(cut), ProblemCode::BodyNotJson);
    }

    #[test]
    fn other_packings_are_refused() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
            }
            Packing::of(&headers).map_err(|problem| problem.code)
        };
        assert_eq!(of(&[]), Ok(Packing::Plain));
        assert_eq!(of(&["identity"]), Ok(Packing::Plain));
        assert_eq!(of(&["GZip"]), Ok(Packing::Gzip));
        for odd in [
            &["br"][..],
            &["deflate"],
            &["gzip, gzip"],
            &["gzip", "gzip"],
            &[""],
        ] {
            assert_eq!(of(odd), Err(ProblemCode::UnsupportedMediaType), "{odd:?}");
        }
    }
}
