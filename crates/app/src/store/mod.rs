//! The ledger's file: SQLite, one writer, many readers.
