//! A value of a row, from PostgreSQL's binary formats (the `*send` functions of
//! `src/backend/utils/adt`).

use tokio_postgres::types::{FromSql, Type};

use crate::store::Value;

/// A value, whatever integer or text type it has.
pub(super) struct Cell(pub(super) Value);

type Unfit = Box<dyn std::error::Error + Sync + Send>;

impl<'raw> FromSql<'raw> for Cell {
    fn from_sql(kind: &Type, raw: &'raw [u8]) -> Result<Self, Unfit> {
        let value = match *kind {
            Type::BOOL => Value::Integer(bool::from_sql(kind, raw)?.into()),
            Type::INT2 => Value::Integer(i16::from_sql(kind, raw)?.into()),
            Type::INT4 => Value::Integer(i32::from_sql(kind, raw)?.into()),
            Type::INT8 => Value::Integer(i64::from_sql(kind, raw)?),
            Type::OID => Value::Integer(u32::from_sql(kind, raw)?.into()),
            // A sum of `int8` is one of these.
            Type::NUMERIC => Value::Integer(integral(raw).ok_or("no integer")?),
            // What a function without an answer gives, such as one that locks.
            Type::VOID => Value::Null,
            _ => Value::Text(String::from_sql(kind, raw)?),
        };
        Ok(Self(value))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Unfit> {
        Ok(Self(Value::Null))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(
            *kind,
            Type::BOOL
                | Type::INT2
                | Type::INT4
                | Type::INT8
                | Type::OID
                | Type::NUMERIC
                | Type::VOID
        ) || <String as FromSql>::accepts(kind)
    }
}

/// A `numeric` that is whole: its number of digits, the first one's weight, its
/// sign, how many decimals are shown, and the digits, which count to 10,000; 16 bits
/// each (`numeric_send`).
fn integral(raw: &[u8]) -> Option<i64> {
    const NEGATIVE: i16 = 0x4000;
    let mut words = raw
        .chunks_exact(2)
        .map(|word| i16::from_be_bytes([word[0], word[1]]));
    let (_count, weight, sign, _scale) =
        (words.next()?, words.next()?, words.next()?, words.next()?);
    if sign != 0 && sign != NEGATIVE {
        return None;
    }
    let mut weight = i32::from(weight);
    let mut number: i128 = 0;
    for digit in words {
        let power = match u32::try_from(weight) {
            Ok(weight) => 10_000_i128.checked_pow(weight)?,
            Err(_) if digit == 0 => 0,
            Err(_) => return None,
        };
        number = number.checked_add(power.checked_mul(digit.into())?)?;
        weight -= 1;
    }
    if sign == NEGATIVE {
        number = -number;
    }
    number.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(words: &[u16]) -> Option<i64> {
        let raw: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        integral(&raw)
    }

    #[test]
    fn only_a_whole_numeric_is_an_integer() {
        assert_eq!(numeric(&[0, 0, 0, 0]), Some(0));
        assert_eq!(numeric(&[1, 0, 0x4000, 0, 7]), Some(-7));
        assert_eq!(numeric(&[1, 2, 0, 0, 3]), Some(300_000_000));
        let largest = [5, 4, 0, 0, 922, 3372, 368, 5477, 5807];
        assert_eq!(numeric(&largest), Some(i64::MAX));
        let beyond = [5, 4, 0, 0, 922, 3372, 368, 5477, 5808];
        assert_eq!(numeric(&beyond), None);
        assert_eq!(numeric(&[2, 0, 0, 1, 1, 5000]), None);
        assert_eq!(numeric(&[0, 0, 0xc000, 0]), None);
        assert_eq!(numeric(&[1, 30_000, 0, 0, 1]), None);
    }
}
