//! Real database servers, started by a test for itself.
//!
//! A [`Database`] has its own folder, its own Unix socket and, if asked for, a
//! TCP port; it knows nothing of a server that this machine may run, and nothing
//! of it outlives the test: it hangs on a [`crate::Keeper`]. What is in it is
//! asked by the servers' own command line clients, so that a fault of the
//! meter's database code is not shared by its judge.
//!
//! All three kinds are one type, so that one story can be told over each of
//! [`Backend::ALL`]; what differs between them is in
//! `kind`.

mod asking;
mod auth;
mod builder;
mod certificate;
mod galera;
mod kind;
mod mariadb;
mod mysql;
mod postgres;
mod pristine;
mod server;
mod text;
mod usage;

pub use auth::Auth;
pub use builder::DatabaseBuilder;
pub use certificate::{Authority, Certificate};
pub use galera::Galera;
pub use kind::{Backend, Rows};
pub use mariadb::MariaDb;
pub use mysql::MySql;
pub use postgres::Postgres;
pub use server::{Database, PASSWORD};
pub use usage::Usage;
