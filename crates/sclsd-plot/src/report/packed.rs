//! Numbers packed for the report: quantised to 8 or 16 bits and encoded in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::embedding::range;

/// Base64-encoded little-endian integers, and the range they represent.
#[derive(Debug, Clone, Serialize)]
pub struct PackedNumbers {
    /// The encoded integers.
    pub(super) data: String,
    /// Values of 0 and the largest integer, for each dimension.
    range: Vec<[f64; 2]>,
    /// Length of each line, if the values form several lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lengths: Vec<usize>,
}

impl PackedNumbers {
    /// Encodes bytes with the range they represent.
    pub(super) fn new(bytes: Vec<u8>, range: Vec<[f64; 2]>) -> Self {
        Self { data: STANDARD.encode(bytes), range, lengths: Vec::new() }
    }

    /// Packs positions in 16 bits, line after line.
    pub(super) fn places<'a>(lines: impl Iterator<Item = &'a [[f64; 2]]> + Clone) -> Self {
        let all = || lines.clone().flatten();
        let range = [0, 1].map(|axis| range(all().map(|p| p[axis])));
        let mut bytes = Vec::new();
        for place in all() {
            for axis in 0..2 {
                let share = (place[axis] - range[axis][0]) / (range[axis][1] - range[axis][0]);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held within 16 bits")]
                let whole = if share.is_finite() { (share * 65_535.0).round().clamp(0.0, 65_535.0) as u16 } else { 0 };
                bytes.extend(whole.to_le_bytes());
            }
        }
        Self { lengths: lines.map(<[_]>::len).collect(), ..Self::new(bytes, range.to_vec()) }
    }
}

/// Quantises a fraction of a range in 254ths; 255 means missing.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held within 8 bits")]
pub(super) fn byte(value: f64, [low, high]: [f64; 2]) -> u8 {
    ((value - low) / (high - low) * 254.0).round().clamp(0.0, 254.0) as u8
}
