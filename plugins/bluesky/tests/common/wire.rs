//! Events and frames, as bytes.

use serde_json::Value;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::OpCode;

/// A frame's header.
pub fn header(opcode: OpCode, is_final: bool, len: usize) -> Vec<u8> {
    let header = FrameHeader {
        is_final,
        opcode,
        ..FrameHeader::default()
    };
    let mut out = Vec::new();
    header.format(len as u64, &mut out).unwrap();
    out
}

pub fn compress(dictionary: &[u8], event: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::with_dictionary(3, dictionary).unwrap();
    compressor.compress(event).unwrap()
}

/// When an event was seen; what is none comes last.
pub fn time_of(event: &str) -> i64 {
    let event: Value = serde_json::from_str(event).unwrap_or_default();
    event["time_us"].as_i64().unwrap_or(i64::MAX)
}
