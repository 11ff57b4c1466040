//! Report → text. Nothing else formats bytes or times for people.
