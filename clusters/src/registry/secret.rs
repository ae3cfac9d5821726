//! Random words: passwords, tokens, the registry's own secret.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Random bytes in a word: 192 bits.
const BYTES: usize = 24;

/// A fresh random word of 32 characters out of `A-Z a-z 0-9 - _`, fit for a password.
pub fn random_word() -> String {
    let mut bytes = [0; BYTES];
    let mut filled = 0;
    while filled < BYTES {
        // Fails only when a signal interrupts it before the kernel's pool is ready: ask again.
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_long_and_differ() {
        let word = random_word();
        assert_eq!(word.len(), 32);
        assert_ne!(word, random_word());
    }
}
