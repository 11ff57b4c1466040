//! What the project's own commands and its tests share: cargo, tools of
//! others, Debian's packages, and root file systems made of them.

pub mod build;
pub mod debian;
pub mod packages;
pub mod tool;
