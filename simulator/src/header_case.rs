//! Header names as WeChat writes them: `Wechatpay-Timestamp`, `Request-ID`. Some clients look them up
//! case-sensitively.
//!
//! The HTTP server writes lower-case names. They are replaced in the outgoing bytes, which works because
//! a name and its replacement have the same length, and because each response begins a new write.

/// Names that are not capitalised word by word.
const IRREGULAR: [&str; 1] = ["Request-ID"];

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Rewrites the header names of one connection's responses.
#[derive(Default)]
pub(crate) struct HeaderCase {
    /// The rewritten head, as far as it is not yet sent.
    unsent: Vec<u8>,
}

impl HeaderCase {
    /// Returns the bytes to send in place of `bytes`, which have the same length; none if they are
    /// the same.
    pub(crate) fn rewrite(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.unsent.is_empty() && bytes.starts_with(b"HTTP/1.") {
            let end = bytes
                .windows(END_OF_HEAD.len())
                .position(|window| window == END_OF_HEAD)?;
            self.unsent = with_names_as_wechat(&bytes[..end]);
        }
        if self.unsent.is_empty() {
            return None;
        }
        let replaced = self.unsent.len().min(bytes.len());
        Some([&self.unsent[..replaced], &bytes[replaced..]].concat())
    }

    /// Records that this many bytes were sent.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.unsent.drain(..bytes.min(self.unsent.len()));
    }
}

/// Returns the head with rewritten names.
fn with_names_as_wechat(head: &[u8]) -> Vec<u8> {
    let mut head = head.to_vec();
    let mut is_status_line = true;
    for line in head.split_mut(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':');
        if let (false, Some(colon)) = (is_status_line, colon) {
            rewrite_name(&mut line[..colon]);
        }
        is_status_line = false;
    }
    head
}

fn rewrite_name(name: &mut [u8]) {
    if let Some(irregular) = IRREGULAR
        .iter()
        .find(|irregular| irregular.as_bytes().eq_ignore_ascii_case(name))
    {
        name.copy_from_slice(irregular.as_bytes());
        return;
    }
    for word in name.split_mut(|byte| *byte == b'-') {
        if let Some(first) = word.first_mut() {
            first.make_ascii_uppercase();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] =
        b"HTTP/1.1 200 OK\r\nwechatpay-signature-type: a-b: c\r\nrequest-id: 08-0\r\n\r\nrequest-id: x";
    const REWRITTEN: &[u8] =
        b"HTTP/1.1 200 OK\r\nWechatpay-Signature-Type: a-b: c\r\nRequest-ID: 08-0\r\n\r\nrequest-id: x";

    #[test]
    fn names_are_rewritten_however_the_socket_splits_a_write() {
        for first in 1..PLAIN.len() {
            let mut case = HeaderCase::default();
            let mut wire = Vec::new();
            let mut rest = PLAIN;
            for limit in [first, PLAIN.len()] {
                let bytes = case.rewrite(rest).unwrap_or_else(|| rest.to_vec());
                let sent = limit.min(bytes.len());
                wire.extend_from_slice(&bytes[..sent]);
                case.sent(sent);
                rest = &rest[sent..];
            }
            assert_eq!(wire, REWRITTEN, "split after {first}");
        }
    }

    #[test]
    fn bodies_are_left_alone() {
        let mut case = HeaderCase::default();
        assert_eq!(case.rewrite(b"request-id: x\r\n\r\n"), None);
    }
}
