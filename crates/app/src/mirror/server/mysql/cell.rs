//! Values, to MySQL's binary protocol and from it.

use mysql_async::{Column, Params, Row, Value as Sent, consts::ColumnType};

use super::super::{ServerError, error::words};
use crate::store::Value;

/// At most this many bytes of a packet.
pub(super) fn size(value: &Value) -> usize {
    // Two bytes of type for each, and up to nine of length for text.
    match value {
        Value::Null => 3,
        Value::Integer(_) => 11,
        Value::Text(text) => text.len() + 12,
    }
}

/// Values as a statement takes them.
pub(super) fn sent(values: &[Value]) -> Params {
    if values.is_empty() {
        return Params::Empty;
    }
    Params::Positional(
        values
            .iter()
            .map(|value| match value {
                Value::Null => Sent::NULL,
                Value::Integer(number) => Sent::Int(*number),
                Value::Text(text) => Sent::Bytes(text.clone().into_bytes()),
            })
            .collect(),
    )
}

/// A row that has come.
pub(super) fn received(row: Row) -> Result<Vec<Value>, ServerError> {
    let columns = row.columns();
    row.unwrap_raw()
        .into_iter()
        .zip(columns.iter())
        .map(|(value, column)| {
            value
                .and_then(|value| cell(value, column))
                .ok_or_else(|| ServerError::Answer {
                    column: words(&column.name_str()),
                })
        })
        .collect()
}

fn cell(value: Sent, column: &Column) -> Option<Value> {
    match value {
        Sent::NULL => Some(Value::Null),
        Sent::Int(number) => Some(Value::Integer(number)),
        Sent::UInt(number) => number.try_into().ok().map(Value::Integer),
        Sent::Bytes(bytes) => {
            let text = String::from_utf8(bytes).ok()?;
            match column.column_type() {
                // A sum is one of these.
                ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL => {
                    integral(&text).map(Value::Integer)
                }
                ColumnType::MYSQL_TYPE_BIT | ColumnType::MYSQL_TYPE_GEOMETRY => None,
                _ => Some(Value::Text(text)),
            }
        }
        Sent::Float(_) | Sent::Double(_) | Sent::Date(..) | Sent::Time(..) => None,
    }
}

/// A decimal that is whole.
fn integral(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.bytes().any(|digit| digit != b'0') {
        return None;
    }
    whole.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_decimal_is_an_integer() {
        assert_eq!(integral("9223372036854775807"), Some(i64::MAX));
        assert_eq!(integral("-9223372036854775808.000"), Some(i64::MIN));
        assert_eq!(integral("9223372036854775808"), None);
        assert_eq!(integral("1.5"), None);
    }
}
