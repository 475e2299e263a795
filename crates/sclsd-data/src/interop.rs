//! Conversion from and to [`anndata::AnnData`] (feature `anndata`).
//!
//! Any backend of the crate `anndata` can be used. An element that a data set cannot hold (an array of three
//! dimensions, a data frame in `obsm`) is an error that names the element, if the element is requested. A `None` in
//! `uns` becomes an empty array of numbers. anndata 0.8 does not store the order of categories and reads categorical
//! columns back as text, so clusters come back with the same names, in alphabetical order.

use std::collections::{BTreeMap, HashMap};

use anndata::data::{ArrayData, Data, DynArray, DynCscMatrix, DynCsrMatrix, DynCsrNonCanonical, DynScalar, Mapping};
use anndata::{AnnDataOp, ArrayElemOp, AxisArraysOp, ElemCollectionOp};
use nalgebra_sparse::csr::CsrMatrix;
use ndarray::{Array2, ArrayD};
use polars::prelude::{DataFrame, DataType, NamedFrom, Series};

use crate::{Column, Csr, Dataset, Frame, Keys, Matrix, Uns};

/// An element of an `AnnData` is missing or cannot be converted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnnDataError {
    /// The element is missing.
    #[error("{slot}[\"{key}\"] is missing; the data has {present}")]
    Missing {
        /// Slot such as `obs`.
        slot: &'static str,
        /// Key of the missing element.
        key: String,
        /// The keys that the slot holds instead.
        present: String,
    },
    /// A [`Dataset`] cannot hold an element of this type.
    #[error("{element} is {found}, expected {expected}")]
    Kind {
        /// The element.
        element: String,
        /// Type of the element.
        found: String,
        /// The valid types.
        expected: &'static str,
    },
    /// The element cannot be read or written.
    #[error("{element}: {reason}")]
    Access {
        /// The element.
        element: String,
        /// The reason given by the crate `anndata`.
        reason: String,
    },
}

type Result<T> = std::result::Result<T, AnnDataError>;

impl Keys {
    /// Requests all elements of an `AnnData`.
    ///
    /// # Errors
    /// [`AnnDataError`] if the tables of the `AnnData` cannot be read.
    pub fn of_anndata<A: AnnDataOp>(data: &A) -> Result<Self> {
        let columns = |table: DataFrame| table.get_column_names().iter().map(ToString::to_string).collect();
        Ok(Self {
            x: !data.x().is_none(),
            layers: sorted(data.layers().keys()),
            obs: columns(data.read_obs().map_err(access("obs"))?),
            var: columns(data.read_var().map_err(access("var"))?),
            obsm: sorted(data.obsm().keys()),
            obsp: sorted(data.obsp().keys()),
            uns: sorted(data.uns().keys()),
        })
    }
}

impl Dataset {
    /// Copies the requested elements from an `AnnData`. Matrices of integers and doubles are converted to `f32`.
    ///
    /// # Errors
    /// [`AnnDataError`] names the first element that is missing or has a type that a data set cannot hold.
    pub fn from_anndata<A: AnnDataOp>(data: &A, keys: &Keys) -> Result<Self> {
        let obs = frame("obs", data.obs_names().into_vec(), &data.read_obs().map_err(access("obs"))?, &keys.obs)?;
        let var = frame("var", data.var_names().into_vec(), &data.read_var().map_err(access("var"))?, &keys.var)?;
        let x = if keys.x { data.x().get::<ArrayData>().map_err(access("X"))? } else { None };
        if keys.x && x.is_none() {
            return Err(AnnDataError::Kind { element: "X".into(), found: "empty".into(), expected: MATRIX });
        }
        let x = x.map(|x| sparse("X", x)).transpose()?;
        let graph = |element: &str, array| sparse(element, array);
        Ok(Self {
            x,
            layers: arrays("layers", &data.layers(), &keys.layers, graph)?,
            obs,
            var,
            obsm: arrays("obsm", &data.obsm(), &keys.obsm, dense)?,
            varm: BTreeMap::new(),
            obsp: arrays("obsp", &data.obsp(), &keys.obsp, graph)?,
            uns: unstructured(&data.uns(), &keys.uns)?,
        })
    }

    /// Writes all elements of the data set into an `AnnData`, which must be empty or have the same cells and genes.
    ///
    /// # Errors
    /// [`AnnDataError`] names the first element that the crate `anndata` rejects.
    pub fn to_anndata<A: AnnDataOp>(&self, data: &A) -> Result<()> {
        if let Some(x) = &self.x {
            data.set_x(ArrayData::from(csr(x))).map_err(access("X"))?;
        }
        data.set_obs_names(self.obs.names.iter().cloned().collect()).map_err(access("obs"))?;
        data.set_var_names(self.var.names.iter().cloned().collect()).map_err(access("var"))?;
        data.set_obs(table(&self.obs)?).map_err(access("obs"))?;
        data.set_var(table(&self.var)?).map_err(access("var"))?;
        for (key, layer) in &self.layers {
            data.layers().add(key, csr(layer)).map_err(access_key("layers", key))?;
        }
        for (key, graph) in &self.obsp {
            data.obsp().add(key, csr(graph)).map_err(access_key("obsp", key))?;
        }
        for (key, matrix) in &self.obsm {
            data.obsm().add(key, array(matrix)).map_err(access_key("obsm", key))?;
        }
        for (key, matrix) in &self.varm {
            data.varm().add(key, array(matrix)).map_err(access_key("varm", key))?;
        }
        for (key, value) in &self.uns {
            data.uns().add(key, any(value)).map_err(access_key("uns", key))?;
        }
        Ok(())
    }
}

const MATRIX: &str = "a matrix of numbers";

fn access(element: impl Into<String>) -> impl FnOnce(anyhow::Error) -> AnnDataError {
    let element = element.into();
    move |error| AnnDataError::Access { element, reason: format!("{error:#}") }
}

fn access_key(slot: &str, key: &str) -> impl FnOnce(anyhow::Error) -> AnnDataError {
    access(format!("{slot}[\"{key}\"]"))
}

fn kind<T>(element: &str, found: impl std::fmt::Debug, expected: &'static str) -> Result<T> {
    Err(AnnDataError::Kind { element: element.to_owned(), found: format!("{found:?}"), expected })
}

fn missing(slot: &'static str, key: &str, present: &[String]) -> AnnDataError {
    let present = if present.is_empty() { "none".to_owned() } else { present.join(", ") };
    AnnDataError::Missing { slot, key: key.to_owned(), present }
}

fn sorted(mut keys: Vec<String>) -> Vec<String> {
    keys.sort_unstable();
    keys
}

/// The requested arrays of a slot.
fn arrays<S: AxisArraysOp, T>(
    slot: &'static str,
    all: &S,
    keys: &[String],
    convert: impl Fn(&str, ArrayData) -> Result<T>,
) -> Result<BTreeMap<String, T>> {
    let one = |key: &String| {
        let found = all.get_item::<ArrayData>(key).map_err(access_key(slot, key))?;
        let found = found.ok_or_else(|| missing(slot, key, &sorted(all.keys())))?;
        Ok((key.clone(), convert(&format!("{slot}[\"{key}\"]"), found)?))
    };
    keys.iter().map(one).collect()
}

fn unstructured<S: ElemCollectionOp>(all: &S, keys: &[String]) -> Result<BTreeMap<String, Uns>> {
    let one = |key: &String| {
        let found = all.get_item::<Data>(key).map_err(access_key("uns", key))?;
        let found = found.ok_or_else(|| missing("uns", key, &sorted(all.keys())))?;
        Ok((key.clone(), value(&format!("uns[\"{key}\"]"), found)?))
    };
    keys.iter().map(one).collect()
}

/// Applies `$with` to the array in any numeric variant of `$data`; evaluates to `$other` if `$data` is not numeric.
macro_rules! numbers {
    ($data:expr, $kind:ident, $inner:ident => $with:expr, $other:ident => $otherwise:expr) => {
        match $data {
            $kind::I8($inner) => $with,
            $kind::I16($inner) => $with,
            $kind::I32($inner) => $with,
            $kind::I64($inner) => $with,
            $kind::U8($inner) => $with,
            $kind::U16($inner) => $with,
            $kind::U32($inner) => $with,
            $kind::U64($inner) => $with,
            $kind::F32($inner) => $with,
            $kind::F64($inner) => $with,
            $other => $otherwise,
        }
    };
}

/// Conversion of any numeric type to the types of a data set.
trait Number: Copy {
    fn single(self) -> f32;
}

macro_rules! number {
    ($($kind:ty),*) => {
        $(impl Number for $kind {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_lossless,
                trivial_numeric_casts,
                reason = "matrices are f32; not every kind loses something"
            )]
            fn single(self) -> f32 {
                self as f32
            }
        })*
    };
}

number!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);

/// Builds a CSR matrix from its three arrays.
fn compressed<T: Number>(element: &str, n_cols: usize, parts: (&[usize], &[usize], &[T])) -> Result<Csr> {
    let (offsets, columns, values) = parts;
    let columns: Vec<u32> = columns.iter().map(|&column| u32::try_from(column).unwrap_or(u32::MAX)).collect();
    let values = values.iter().map(|value| value.single()).collect();
    Csr::from_arrays(n_cols, offsets.to_vec(), columns, values)
        .map_err(|error| AnnDataError::Access { element: element.to_owned(), reason: error.to_string() })
}

fn sparse(element: &str, data: ArrayData) -> Result<Csr> {
    match data {
        ArrayData::CsrMatrix(m) => numbers!(m, DynCsrMatrix,
            m => compressed(element, m.ncols(), m.csr_data()),
            _other => kind(element, "a matrix of text or truth values", MATRIX)),
        ArrayData::CsrNonCanonical(m) => numbers!(m, DynCsrNonCanonical,
            m => compressed(element, m.ncols(), m.csr_data()),
            _other => kind(element, "a matrix of text or truth values", MATRIX)),
        ArrayData::CscMatrix(m) => numbers!(m, DynCscMatrix,
            m => Ok(compressed(element, m.nrows(), m.csc_data())?.transpose()),
            _other => kind(element, "a matrix of text or truth values", MATRIX)),
        array @ ArrayData::Array(_) => {
            let dense = dense(element, array)?;
            let row = |i: usize| (0..).zip(dense.row(i)).filter(|(_, v)| **v != 0.0).map(|(j, v)| (j, *v)).collect();
            Csr::from_rows(dense.n_cols(), (0..dense.n_rows()).map(row))
                .map_err(|error| AnnDataError::Access { element: element.to_owned(), reason: error.to_string() })
        }
        ArrayData::DataFrame(_) => kind(element, "a data frame", MATRIX),
    }
}

fn dense(element: &str, data: ArrayData) -> Result<Matrix> {
    let ArrayData::Array(array) = data else {
        let csr = sparse(element, data)?;
        let all: Vec<usize> = (0..csr.n_rows()).collect();
        return Ok(Matrix::new(csr.n_cols(), csr.gather_dense(&all)));
    };
    numbers!(array, DynArray,
        array => match *array.shape() {
            [_, n_cols] => Ok(Matrix::new(n_cols, array.iter().map(|value| value.single()).collect())),
            ref shape => kind(element, format_args!("an array of shape {shape:?}"), MATRIX),
        },
        _other => kind(element, "an array of text or truth values", MATRIX))
}

/// The requested columns of a table.
fn frame(slot: &'static str, names: Vec<String>, table: &DataFrame, keys: &[String]) -> Result<Frame> {
    let mut frame = Frame::new(names);
    for key in keys {
        let present = || table.get_column_names().iter().map(ToString::to_string).collect::<Vec<_>>();
        let series = table.column(key).map_err(|_| missing(slot, key, &present()))?.as_materialized_series();
        frame.set(key, column(&format!("{slot}[\"{key}\"]"), series)?);
    }
    Ok(frame)
}

fn column(element: &str, series: &Series) -> Result<Column> {
    let failed = |error: polars::error::PolarsError| access(element)(error.into());
    let text = |series: &Series| -> Result<Vec<Option<String>>> {
        let series = series.cast(&DataType::String).map_err(failed)?;
        Ok(series.str().map_err(failed)?.iter().map(|value| value.map(str::to_owned)).collect())
    };
    match series.dtype() {
        DataType::String => Ok(Column::String(text(series)?)),
        DataType::Categorical(..) | DataType::Enum(..) => {
            let names = Column::String(text(series)?);
            Ok(names.to_categorical().map_or(names, Column::Categorical))
        }
        DataType::Boolean => Ok(Column::Boolean(series.bool().map_err(failed)?.iter().collect())),
        kind if kind.is_float() => {
            let series = series.cast(&DataType::Float64).map_err(failed)?;
            Ok(Column::Float(series.f64().map_err(failed)?.iter().map(|v| v.unwrap_or(f64::NAN)).collect()))
        }
        kind if kind.is_integer() => {
            let series = series.cast(&DataType::Int64).map_err(failed)?;
            Ok(Column::Integer(series.i64().map_err(failed)?.iter().collect()))
        }
        other => kind(element, other, "a column of names, numbers or truth values"),
    }
}

fn value(element: &str, data: Data) -> Result<Uns> {
    const EXPECTED: &str = "text, numbers, truth values or a dictionary of them";
    #[expect(clippy::cast_possible_wrap, reason = "whole numbers of uns are far below 2^63")]
    let scalar = |scalar| match scalar {
        DynScalar::I8(v) => Uns::Integers(vec![], vec![v.into()]),
        DynScalar::I16(v) => Uns::Integers(vec![], vec![v.into()]),
        DynScalar::I32(v) => Uns::Integers(vec![], vec![v.into()]),
        DynScalar::I64(v) => Uns::Integers(vec![], vec![v]),
        DynScalar::U8(v) => Uns::Integers(vec![], vec![v.into()]),
        DynScalar::U16(v) => Uns::Integers(vec![], vec![v.into()]),
        DynScalar::U32(v) => Uns::Integers(vec![], vec![v.into()]),
        DynScalar::U64(v) => Uns::Integers(vec![], vec![v as i64]),
        DynScalar::F32(v) => Uns::Floats(vec![], vec![v.into()]),
        DynScalar::F64(v) => Uns::Floats(vec![], vec![v]),
        DynScalar::Bool(v) => Uns::Booleans(vec![], vec![v]),
        DynScalar::String(v) => Uns::Text(v),
    };
    match data {
        Data::Scalar(one) => Ok(scalar(one)),
        Data::Mapping(map) => {
            let inside = |(key, data)| Ok((String::clone(&key), value(&format!("{element}[\"{key}\"]"), data)?));
            Ok(Uns::Map(HashMap::from(map).into_iter().map(inside).collect::<Result<_>>()?))
        }
        Data::ArrayData(ArrayData::Array(array)) => {
            #[expect(clippy::cast_possible_wrap, reason = "whole numbers of uns are far below 2^63")]
            let whole = |v: &u64| *v as i64;
            Ok(match array {
                DynArray::I8(a) => Uns::Integers(a.shape().to_vec(), a.iter().map(|&v| v.into()).collect()),
                DynArray::I16(a) => Uns::Integers(a.shape().to_vec(), a.iter().map(|&v| v.into()).collect()),
                DynArray::I32(a) => Uns::Integers(a.shape().to_vec(), a.iter().map(|&v| v.into()).collect()),
                DynArray::I64(a) => Uns::Integers(a.shape().to_vec(), a.iter().copied().collect()),
                DynArray::U8(a) => Uns::Integers(a.shape().to_vec(), a.iter().map(|&v| v.into()).collect()),
                DynArray::U16(a) => Uns::Integers(a.shape().to_vec(), a.iter().map(|&v| v.into()).collect()),
                DynArray::U32(a) => Uns::Integers(a.shape().to_vec(), a.iter().map(|&v| v.into()).collect()),
                DynArray::U64(a) => Uns::Integers(a.shape().to_vec(), a.iter().map(whole).collect()),
                DynArray::F32(a) => Uns::Floats(a.shape().to_vec(), a.iter().map(|&v| v.into()).collect()),
                DynArray::F64(a) => Uns::Floats(a.shape().to_vec(), a.iter().copied().collect()),
                DynArray::Bool(a) => Uns::Booleans(a.shape().to_vec(), a.iter().copied().collect()),
                DynArray::String(a) => Uns::Texts(a.shape().to_vec(), a.iter().cloned().collect()),
            })
        }
        Data::ArrayData(ArrayData::DataFrame(_)) => kind(element, "a data frame", EXPECTED),
        Data::ArrayData(_) => kind(element, "a sparse matrix", EXPECTED),
    }
}

fn csr(matrix: &Csr) -> CsrMatrix<f32> {
    let pattern = matrix.pattern();
    let columns = pattern.indices().iter().map(|&column| column as usize).collect();
    CsrMatrix::try_from_csr_data(
        matrix.n_rows(),
        matrix.n_cols(),
        pattern.indptr().to_vec(),
        columns,
        matrix.values().to_vec(),
    )
    .expect("rows are sorted and within bounds")
}

fn array(matrix: &Matrix) -> Array2<f32> {
    Array2::from_shape_vec((matrix.n_rows(), matrix.n_cols()), matrix.values().to_vec()).expect("rows of equal length")
}

fn table(frame: &Frame) -> Result<DataFrame> {
    let failed = |key: &str, error: polars::error::PolarsError| access(key)(error.into());
    let columns = frame.columns.iter().map(|(key, column)| Ok(series(key, column).map_err(|e| failed(key, e))?.into()));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    DataFrame::new(frame.len(), columns).map_err(|error| failed("obs or var", error))
}

fn series(key: &str, column: &Column) -> std::result::Result<Series, polars::error::PolarsError> {
    let name = key.into();
    Ok(match column {
        Column::Categorical(groups) => {
            let names: Vec<Option<&str>> = (0..groups.codes().len()).map(|cell| groups.name(cell)).collect();
            let categories = polars::prelude::Categories::global();
            Series::new(name, names).cast(&DataType::from_categories(categories))?
        }
        Column::String(values) => Series::new(name, values),
        Column::Float(values) => Series::new(name, values),
        Column::Integer(values) => Series::new(name, values),
        Column::Boolean(values) => Series::new(name, values),
    })
}

fn any(value: &Uns) -> Data {
    /// A scalar, an array, or for an empty value (Python's `None`) an empty array of numbers.
    fn shaped<T: Clone>(shape: &[usize], values: &[T]) -> Data
    where
        Data: From<T> + From<ArrayD<T>>,
    {
        match (shape, values) {
            ([], [one]) => one.clone().into(),
            ([], _) => ArrayD::from_shape_vec(vec![0], Vec::new()).expect("nothing").into(),
            _ => ArrayD::from_shape_vec(shape, values.to_vec()).expect("as many values as the shape says").into(),
        }
    }
    match value {
        Uns::Text(text) => text.clone().into(),
        Uns::Texts(shape, values) => shaped(shape, values),
        Uns::Floats(shape, values) => shaped(shape, values),
        Uns::Integers(shape, values) => shaped(shape, values),
        Uns::Booleans(shape, values) => shaped(shape, values),
        Uns::Map(map) => {
            let inside: HashMap<String, Data> = map.iter().map(|(key, value)| (key.clone(), any(value))).collect();
            Mapping::from(inside).into()
        }
    }
}
