//! Rows on their way into one transaction: put into statements of a size that
//! servers like, the same for changes and for a whole copy.

use super::{
    server::{Server, ServerError},
    statement::{self, Bound, bound_values, delete_between},
};
use crate::store::{Row, RowKey, Table, Value};

/// Rows in one statement: a round trip serves many, and even a session's columns
/// stay below the 65,535 places that both protocols allow.
pub(super) const STATEMENT_ROWS: usize = 500;

/// Writes rows as they stand, and deletes those that are gone.
pub(super) async fn write(server: &mut Server, host: i64, rows: &[Row]) -> Result<(), ServerError> {
    for table in Table::ALL {
        let of_table = || rows.iter().filter(|row| row.table == table);
        let there: Vec<&Row> = of_table().filter(|row| row.values.is_some()).collect();
        let gone: Vec<&Row> = of_table().filter(|row| row.values.is_none()).collect();
        for chunk in there.chunks(STATEMENT_ROWS) {
            let sql = statement::upsert(server.protocol(), table, chunk.len());
            let values = upsert_values(server, host, chunk);
            server.execute(&sql, &values).await?;
        }
        for chunk in gone.chunks(STATEMENT_ROWS) {
            let sql = statement::delete(table, chunk.len());
            let mut values = Vec::new();
            for row in chunk {
                values.push(Value::Integer(host));
                push_key(&mut values, row);
            }
            server.execute(&sql, &values).await?;
        }
    }
    Ok(())
}

/// The last key of the next `rows` that the server has of a host after a key;
/// `None` where it has fewer.
pub(super) async fn last_key(
    server: &mut Server,
    host: i64,
    table: Table,
    after: Option<RowKey>,
    rows: usize,
) -> Result<Option<RowKey>, ServerError> {
    let bounds: &[Bound] = if after.is_some() {
        &[Bound::After]
    } else {
        &[]
    };
    let mut values = vec![Value::Integer(host)];
    if let Some(after) = after {
        values.extend(bound_values(table, after).into_iter().map(Value::Integer));
    }
    let mut key = None;
    server
        .query(
            &statement::key_at(table, bounds, rows.saturating_sub(1)),
            &values,
            &mut |row| {
                let mut parts = [0; 2];
                for (part, value) in parts.iter_mut().zip(row) {
                    if let Value::Integer(number) = value {
                        *part = number;
                    }
                }
                key = Some(parts);
            },
        )
        .await?;
    Ok(key)
}

/// Deletes what the server has of a host between two keys of a table: after the
/// first, and up to the second and with it. Without one there is no such end.
pub(super) async fn clear(
    server: &mut Server,
    host: i64,
    table: Table,
    after: Option<RowKey>,
    up_to: Option<RowKey>,
) -> Result<(), ServerError> {
    let mut bounds = Vec::new();
    let mut values = vec![Value::Integer(host)];
    for (bound, key) in [(Bound::After, after), (Bound::UpTo, up_to)] {
        if let Some(key) = key {
            bounds.push(bound);
            values.extend(bound_values(table, key).into_iter().map(Value::Integer));
        }
    }
    server
        .execute(&delete_between(table, &bounds), &values)
        .await
        .map(drop)
}

fn upsert_values(server: &Server, host: i64, rows: &[&Row]) -> Vec<Value> {
    let mut values = Vec::new();
    for row in rows {
        values.push(Value::Integer(host));
        push_key(&mut values, row);
        values.extend(row.values.iter().flatten().cloned());
        if statement::has_time(server.protocol(), row.table) {
            let time = statement::time_of(row.key[0]);
            values.push(time.map_or(Value::Null, Value::Integer));
        }
    }
    values
}

fn push_key(values: &mut Vec<Value>, row: &Row) {
    let parts = row.table.key().len();
    values.extend(row.key.iter().take(parts).copied().map(Value::Integer));
}
