//! The loop that drives sources, sessions, meter and ledger.
