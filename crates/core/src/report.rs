//! The one Report that every view is drawn from.
