//! The one message of the container runtime interface that is sent, and its answer, in the wire format of protocol buffers.
//!
//! ```text
//! message PullImageRequest  { ImageSpec image = 1; AuthConfig auth = 2; … }
//! message ImageSpec         { string image = 1; … }
//! message AuthConfig        { string username = 1; string password = 2; … }
//! message PullImageResponse { string image_ref = 1; }
//! ```

use tokio_util::bytes::{Buf, BufMut};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// A request to pull an image.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pull {
    /// Its reference.
    pub(super) image: String,
    /// User name and password.
    pub(super) credentials: Option<(String, String)>,
}

/// Writes a [`Pull`] and reads the reference that the runtime answers with.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ImageCodec;

impl Pull {
    fn encode(&self) -> Vec<u8> {
        let mut message = Vec::new();
        field(&mut message, 1, &text(1, &self.image));
        if let Some((user, password)) = &self.credentials {
            field(&mut message, 2, &[text(1, user), text(2, password)].concat());
        }
        message
    }
}

// The password is not for logs.
impl std::fmt::Debug for Pull {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pull").field("image", &self.image).finish_non_exhaustive()
    }
}

impl Codec for ImageCodec {
    type Encode = Pull;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for ImageCodec {
    type Item = Pull;
    type Error = Status;

    fn encode(&mut self, item: Pull, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item.encode());
        Ok(())
    }
}

impl Decoder for ImageCodec {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let message = buffer.copy_to_bytes(buffer.remaining());
        first_text(&message).map(Some).ok_or_else(|| Status::internal("the runtime's answer names no image"))
    }
}

/// A field whose value has its length in front.
fn field(message: &mut Vec<u8>, number: u8, value: &[u8]) {
    const WITH_LENGTH: u8 = 2;
    message.push(number << 3 | WITH_LENGTH);
    let mut length = value.len();
    loop {
        let low = length.to_le_bytes()[0] & 0x7f;
        length >>= 7;
        if length == 0 {
            message.push(low);
            break;
        }
        message.push(low | 0x80);
    }
    message.extend_from_slice(value);
}

fn text(number: u8, value: &str) -> Vec<u8> {
    let mut message = Vec::new();
    field(&mut message, number, value.as_bytes());
    message
}

/// The text of field 1, which is the only one of the answer.
fn first_text(message: &[u8]) -> Option<String> {
    let rest = message.strip_prefix(&[1 << 3 | 2])?;
    let mut length = 0_usize;
    for (position, byte) in rest.iter().enumerate().take(4) {
        length |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            let value = rest.get(position + 1..)?.get(..length)?;
            return String::from_utf8(value.to_vec()).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_as_the_interface_has_it() {
        let pull = Pull { image: "r/a".to_owned(), credentials: Some(("u".to_owned(), "pw".to_owned())) };
        assert_eq!(pull.encode(), b"\x0a\x05\x0a\x03r/a\x12\x07\x0a\x01u\x12\x02pw");
        let anonymous = Pull { image: "r/a".to_owned(), credentials: None };
        assert_eq!(anonymous.encode(), b"\x0a\x05\x0a\x03r/a");
    }

    #[test]
    fn a_long_text_comes_back_as_it_went() {
        let image = "r/".repeat(150);
        assert_eq!(first_text(&text(1, &image)), Some(image));
    }

    #[test]
    fn an_answer_without_the_field_names_no_image() {
        assert_eq!(first_text(b""), None);
        assert_eq!(first_text(b"\x0a\x05ab"), None);
        assert_eq!(first_text(b"\x12\x02ab"), None);
    }

    #[test]
    fn the_password_stays_out_of_logs() {
        let pull = Pull { image: "r/a".to_owned(), credentials: Some(("u".to_owned(), "hidden".to_owned())) };
        assert!(!format!("{pull:?}").contains("hidden"));
    }
}
