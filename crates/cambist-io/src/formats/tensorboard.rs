//! TensorBoard's event files: scalars over steps.
//!
//! A file is a row of TFRecords (length, masked CRC-32C of the length, bytes, masked CRC-32C of the bytes), each an
//! `Event` message of TensorFlow's `event.proto`, of which only the fields of scalars are written.

/// An event file in the making; the same scalars give the same bytes.
///
/// Steps stand for seconds in the time of an event, since artifacts hold no times.
#[derive(Clone, Debug)]
pub struct EventFile {
    bytes: Vec<u8>,
}

impl Default for EventFile {
    fn default() -> Self {
        let mut file = Self { bytes: Vec::new() };
        let mut event = Message::default();
        event.double(1, 0.0);
        event.bytes(3, b"brain.Event:2");
        file.record(&event.0);
        file
    }
}

impl EventFile {
    /// Adds scalars of one step, each under its tag, such as `loss` or `lang/de/loss`.
    pub fn scalars<'a>(&mut self, step: u64, scalars: impl IntoIterator<Item = (&'a str, f64)>) {
        let mut summary = Message::default();
        for (tag, value) in scalars {
            let mut one = Message::default();
            one.bytes(1, tag.as_bytes());
            one.float(2, value as f32);
            summary.bytes(1, &one.0);
        }
        let mut event = Message::default();
        event.double(1, step as f64);
        event.integer(2, step);
        event.bytes(5, &summary.0);
        self.record(&event.0);
    }

    /// The file so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn record(&mut self, event: &[u8]) {
        let length = (event.len() as u64).to_le_bytes();
        self.bytes.extend(length);
        self.bytes.extend(masked(&length).to_le_bytes());
        self.bytes.extend(event);
        self.bytes.extend(masked(event).to_le_bytes());
    }
}

/// The checksum of a TFRecord: rotated and shifted, so that the checksum of bytes with a checksum in them is sound.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A protocol buffer message, field by field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn double(&mut self, field: u64, value: f64) {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    fn integer(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_carry_their_lengths_and_checksums() {
        let mut file = EventFile::default();
        file.scalars(300, [("loss", 2.5), ("lang/tr/loss", 1.25)]);
        let mut rest = file.as_bytes();
        let mut events = vec![];
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let event = &rest[12..12 + length];
            assert_eq!(rest[8..12], masked(&rest[..8]).to_le_bytes());
            assert_eq!(rest[12 + length..16 + length], masked(event).to_le_bytes());
            events.push(event.to_vec());
            rest = &rest[16 + length..];
        }
        assert_eq!(events.len(), 2);
        assert!(events[0].ends_with(b"brain.Event:2"));
        assert!(events[1].windows(2).any(|pair| pair == [0xac, 0x02]), "step 300 as a varint");
        assert!(events[1].ends_with(&1.25f32.to_le_bytes()));
    }

    #[test]
    fn the_checksum_is_castagnolis() {
        // The check value of CRC-32C over "123456789" (RFC 3720, appendix B.4, uses the same polynomial).
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }
}
