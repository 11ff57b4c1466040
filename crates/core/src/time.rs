//! Periods and buckets of time as an administrator names them.
