//! Bodies with `Content-Encoding: gzip`, decompressed up to a limit, so that a small body cannot become
//! a large one.

use std::io::Read;

use avalon_core::base::problem::{Problem, ProblemCode};
use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use flate2::read::MultiGzDecoder;

/// The encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentEncoding {
    Identity,
    Gzip,
}

impl ContentEncoding {
    /// Reads the header `Content-Encoding`.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => return Ok(Self::Identity),
            (Some(value), None) => value.to_str().unwrap_or_default().trim(),
            (Some(_), Some(_)) => "",
        };
        // `x-gzip` is equivalent (RFC 9110, section 8.4.1.3).
        if value.eq_ignore_ascii_case("gzip") || value.eq_ignore_ascii_case("x-gzip") {
            Ok(Self::Gzip)
        } else if value.eq_ignore_ascii_case("identity") {
            Ok(Self::Identity)
        } else {
            Err(Problem::new(ProblemCode::UnsupportedMediaType)
                .with_detail("`Content-Encoding` must be `gzip` or absent."))
        }
    }

    /// Decodes the body into at most `max_bytes`.
    pub(crate) fn decode(self, body: Bytes, max_bytes: usize) -> Result<Bytes, Problem> {
        match self {
            Self::Identity => Ok(body),
            Self::Gzip => gunzip(&body, max_bytes).map(Bytes::from),
        }
    }
}

fn gunzip(body: &[u8], max_bytes: usize) -> Result<Vec<u8>, Problem> {
    let mut decoded = Vec::with_capacity(body.len().saturating_mul(4).min(max_bytes));
    let limit = u64::try_from(max_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    MultiGzDecoder::new(body)
        .take(limit)
        .read_to_end(&mut decoded)
        .map_err(|_| {
            Problem::new(ProblemCode::BodyNotJson)
                .with_detail("The body is not gzip, or is truncated.")
        })?;
    if decoded.len() > max_bytes {
        return Err(Problem::new(ProblemCode::BodyTooLarge).with_detail(format!(
            "The decompressed body is larger than {max_bytes} bytes."
        )));
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn decompression_bomb_is_rejected() {
        let decode =
            |bytes: usize| ContentEncoding::Gzip.decode(gzip(&vec![b' '; bytes]).into(), 1000);
        assert_eq!(decode(1000).unwrap().len(), 1000);
        for bomb in [1001, 50_000_000] {
            assert_eq!(decode(bomb).unwrap_err().code, ProblemCode::BodyTooLarge);
        }
    }

    #[test]
    fn invalid_or_truncated_gzip_is_rejected() {
        let code = |body: Vec<u8>| {
            ContentEncoding::Gzip
                .decode(body.into(), 100)
                .unwrap_err()
                .code
        };
        assert_eq!(code(b"{}".to_vec()), ProblemCode::BodyNotJson);
        let mut truncated = gzip(b"hello, hello, hello");
        truncated.truncate(truncated.len() - 5);
        assert_eq!(code(truncated), ProblemCode::BodyNotJson);
    }

    #[test]
    fn other_encodings_are_rejected() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
            }
            ContentEncoding::of(&headers).map_err(|problem| problem.code)
        };
        assert_eq!(of(&[]), Ok(ContentEncoding::Identity));
        assert_eq!(of(&["identity"]), Ok(ContentEncoding::Identity));
        assert_eq!(of(&["GZip"]), Ok(ContentEncoding::Gzip));
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
