//! Text from Parquet files (feature `parquet`).

use crate::{Error, Result};
use std::path::Path;

/// Gives the string in column `text` of every row of `path` to `each`, with the row's number from 1.
///
/// # Errors
/// A file that is not Parquet or damaged, has no column `text` of strings, or text that is missing in a row; a program
/// built without the feature.
#[cfg(feature = "parquet")]
pub(super) fn read(path: &Path, each: &mut dyn FnMut(usize, String) -> Result<()>) -> Result<()> {
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use ::parquet::record::RowAccessor;
    use ::parquet::schema::types::Type;

    let place = path.display().to_string();
    let damaged =
        |e: ::parquet::errors::ParquetError| Error::invalid(&place, format!("not a readable Parquet file ({e})"));
    let file = std::fs::File::open(path).map_err(|e| Error::io("read", path, e))?;
    let reader = SerializedFileReader::new(file).map_err(damaged)?;
    let schema = reader.metadata().file_metadata().schema();
    let text = schema.get_fields().iter().find(|field| field.name() == "text");
    let Some(text) = text.filter(|field| field.is_primitive()) else {
        return Err(Error::invalid(&place, "has no column \"text\""));
    };
    let only = Type::group_type_builder(schema.name())
        .with_fields(vec![text.clone()])
        .build()
        .map_err(damaged)?;
    for (row, record) in reader.get_row_iter(Some(only)).map_err(damaged)?.enumerate() {
        let record = record.map_err(damaged)?;
        let wrong = |e| {
            Error::invalid(
                format!("{place}, row {}", row + 1),
                format!("column \"text\" is no string ({e})"),
            )
        };
        let text = record.get_string(0).map_err(wrong)?.clone();
        each(row + 1, text)?;
    }
    Ok(())
}

#[cfg(not(feature = "parquet"))]
pub(super) fn read(path: &Path, _each: &mut dyn FnMut(usize, String) -> Result<()>) -> Result<()> {
    let what = "this folio-train reads no Parquet: build it with `--features parquet`, or convert the file to .jsonl";
    Err(Error::invalid(path.display().to_string(), what))
}

#[cfg(all(test, not(feature = "parquet")))]
#[allow(clippy::unwrap_used)]
mod tests {
    #[test]
    fn without_the_feature_the_way_out_is_named() {
        let error = super::read(std::path::Path::new("a.parquet"), &mut |_, _| Ok(())).unwrap_err();
        assert!(error.to_string().contains("--features parquet"), "{error}");
    }
}

#[cfg(all(test, feature = "parquet"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use ::parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::parser::parse_message_type;
    use std::sync::Arc;

    fn write(path: &Path, schema: &str, texts: &[&str]) {
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let file = std::fs::File::create(path).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut ids = group.next_column().unwrap().unwrap();
        let numbers: Vec<i32> = (0..texts.len() as i32).collect();
        ids.typed::<Int32Type>().write_batch(&numbers, None, None).unwrap();
        ids.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let texts: Vec<ByteArray> = texts.iter().map(|t| ByteArray::from(*t)).collect();
        column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn rows_are_documents() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        write(
            &path,
            "message m { required int32 id; required binary text (UTF8); }",
            &["one", "h\u{e9}", "three"],
        );
        let mut found = Vec::new();
        read(&path, &mut |row, text| {
            found.push((row, text));
            Ok(())
        })
        .unwrap();
        assert_eq!(
            found,
            [
                (1, "one".to_owned()),
                (2, "h\u{e9}".to_owned()),
                (3, "three".to_owned())
            ]
        );
        let error = |path: &Path| read(path, &mut |_, _| Ok(())).unwrap_err().to_string();
        write(
            &path,
            "message m { required int32 id; required binary body (UTF8); }",
            &["one"],
        );
        assert!(error(&path).contains("no column"));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(error(&path).contains("not a readable"));
    }
}
