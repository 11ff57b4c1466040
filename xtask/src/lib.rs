//! What the project's own commands share: cargo, and the packages of the tests.

pub mod build;
pub mod packages;
