//! Report → text. Nothing else formats bytes or times for people.

pub mod parse;
pub mod text;
