//! Time as administrators mean it: hours, days and months of a time zone, and
//! the words (`yesterday`, `-7d`) that name a period.
//!
//! Nothing here reads a clock: "now" comes in with each question.

mod calendar;
mod parse;
mod period;
mod zone;

pub use calendar::{Bucket, Buckets, Calendar, Unit};
pub use parse::{TimeError, parse_time};
pub use period::{Period, PeriodError};
pub use zone::zone_named;
