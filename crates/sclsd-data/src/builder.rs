//! Builds a data set from arrays and matrices in memory.

use sclsd_spec::WrongSize;
use sprs::{CsMatI, CsMatViewI};

use crate::{Column, Csr, CsrView, Dataset, DatasetError, Frame, Matrix, SparseError, Uns};

/// Input that can be converted into a sparse matrix.
pub trait IntoCsr {
    /// Converts the input into a sparse matrix. Arrays are moved instead of copied where possible.
    ///
    /// # Errors
    /// [`SparseError`] says why the input is not a valid sparse matrix.
    fn into_csr(self) -> Result<Csr, SparseError>;
}

impl IntoCsr for Csr {
    fn into_csr(self) -> Result<Csr, SparseError> {
        Ok(self)
    }
}

impl IntoCsr for &Csr {
    fn into_csr(self) -> Result<Csr, SparseError> {
        Ok(self.clone())
    }
}

impl IntoCsr for CsrView<'_> {
    fn into_csr(self) -> Result<Csr, SparseError> {
        Ok(self.to_csr())
    }
}

/// Compressed rows (CSR) or compressed columns (CSC).
impl IntoCsr for CsMatI<f32, u32, usize> {
    fn into_csr(self) -> Result<Csr, SparseError> {
        Ok(Csr::from(self))
    }
}

/// Compressed rows (CSR) or compressed columns (CSC). Slices of another matrix are accepted.
impl IntoCsr for CsMatViewI<'_, f32, u32, usize> {
    fn into_csr(self) -> Result<Csr, SparseError> {
        Ok(Csr::from(self.to_owned()))
    }
}

/// `(n_cols, row pointer, column indices, values)` in CSR form. The columns of a row may be in any order.
impl IntoCsr for (usize, &[usize], &[u32], &[f32]) {
    fn into_csr(self) -> Result<Csr, SparseError> {
        let (n_cols, indptr, indices, values) = self;
        Csr::from_arrays(n_cols, indptr.to_vec(), indices.to_vec(), values.to_vec())
    }
}

/// `(n_cols, values)`: a dense row-major matrix. Zeros are not stored.
impl IntoCsr for (usize, &[f32]) {
    fn into_csr(self) -> Result<Csr, SparseError> {
        let (n_cols, values) = self;
        if n_cols == 0 || !values.len().is_multiple_of(n_cols) {
            return Err(SparseError::Rows { values: values.len(), n_cols });
        }
        let row = |row: &[f32]| (0_u32..).zip(row.iter().copied()).filter(|entry| entry.1 != 0.0).collect();
        Csr::from_rows(n_cols, values.chunks_exact(n_cols).map(row))
    }
}

/// Input that can be converted into a dense matrix.
pub trait IntoMatrix {
    /// Converts the input into a dense matrix.
    ///
    /// # Errors
    /// [`WrongSize`] if the number of values is not a multiple of the number of columns.
    fn into_matrix(self) -> Result<Matrix, WrongSize>;
}

impl IntoMatrix for Matrix {
    fn into_matrix(self) -> Result<Matrix, WrongSize> {
        Ok(self)
    }
}

/// `(n_cols, values)`, row-major.
impl IntoMatrix for (usize, Vec<f32>) {
    fn into_matrix(self) -> Result<Matrix, WrongSize> {
        Matrix::try_new(self.0, self.1)
    }
}

/// `(n_cols, values)`, row-major.
impl IntoMatrix for (usize, &[f32]) {
    fn into_matrix(self) -> Result<Matrix, WrongSize> {
        Matrix::try_new(self.0, self.1.to_vec())
    }
}

/// Builds a [`Dataset`] part by part. [`build`](Self::build) checks the result.
#[derive(Debug)]
pub struct DatasetBuilder {
    data: Dataset,
    /// The first error among the parts added so far.
    wrong: Option<DatasetError>,
}

impl Dataset {
    /// Starts a data set with these cells and genes and no other parts.
    ///
    /// ```
    /// use sclsd_data::{Categorical, Dataset};
    ///
    /// let counts = [3.0, 0.0, 1.0, 0.0, 2.0, 5.0]; // 3 cells × 2 genes
    /// let expression = counts.map(f32::ln_1p);
    /// let cells = Dataset::builder(["c1", "c2", "c3"], ["Sox9", "Neurog3"])
    ///     .expression((2, &expression[..]))
    ///     .layer("raw", (2, &counts[..]))
    ///     .obs("clusters", Categorical::from_names(["a", "a", "b"]))
    ///     .obs("day", vec![1.0, 1.0, 2.0])
    ///     .obsm("X_umap", (2, vec![0.0, 0.1, 0.2, 0.0, 1.0, 1.0]))
    ///     .build()?;
    /// assert_eq!((cells.n_cells(), cells.n_genes()), (3, 2));
    ///
    /// let error = Dataset::builder(["c1", "c2"], ["Sox9"]).obs("day", vec![1.0]).build().unwrap_err();
    /// assert_eq!(error.to_string(), "obs[\"day\"] is of 1 cells, expected 2");
    /// # Ok::<(), sclsd_data::DatasetError>(())
    /// ```
    #[must_use]
    pub fn builder(
        cell_names: impl IntoIterator<Item = impl Into<String>>,
        gene_names: impl IntoIterator<Item = impl Into<String>>,
    ) -> DatasetBuilder {
        let obs = Frame::new(cell_names.into_iter().map(Into::into).collect());
        let var = Frame::new(gene_names.into_iter().map(Into::into).collect());
        DatasetBuilder { data: Self { obs, var, ..Self::default() }, wrong: None }
    }
}

impl DatasetBuilder {
    /// Sets X, the normalised expression, `n_cells × n_genes`.
    #[must_use]
    pub fn expression(mut self, x: impl IntoCsr) -> Self {
        self.data.x = self.sparse("X", x);
        self
    }

    /// Adds a layer, `n_cells × n_genes`. Counts belong in the layer `raw`.
    #[must_use]
    pub fn layer(mut self, key: &str, matrix: impl IntoCsr) -> Self {
        if let Some(matrix) = self.sparse(&format!("layers[\"{key}\"]"), matrix) {
            self.data.layers.insert(key.to_owned(), matrix);
        }
        self
    }

    /// Adds a column of `obs`, one value per cell.
    #[must_use]
    pub fn obs(mut self, key: &str, column: impl Into<Column>) -> Self {
        put(&mut self.data.obs, key, column.into());
        self
    }

    /// Adds a column of `var`, one value per gene.
    #[must_use]
    pub fn var(mut self, key: &str, column: impl Into<Column>) -> Self {
        put(&mut self.data.var, key, column.into());
        self
    }

    /// Adds an element of `obsm`: coordinates of the cells, one row per cell.
    #[must_use]
    pub fn obsm(mut self, key: &str, matrix: impl IntoMatrix) -> Self {
        if let Some(matrix) = self.dense(&format!("obsm[\"{key}\"]"), matrix) {
            self.data.obsm.insert(key.to_owned(), matrix);
        }
        self
    }

    /// Adds an element of `varm`: coordinates of the genes, one row per gene.
    #[must_use]
    pub fn varm(mut self, key: &str, matrix: impl IntoMatrix) -> Self {
        if let Some(matrix) = self.dense(&format!("varm[\"{key}\"]"), matrix) {
            self.data.varm.insert(key.to_owned(), matrix);
        }
        self
    }

    /// Adds an element of `obsp`: a graph of the cells, `n_cells × n_cells`.
    #[must_use]
    pub fn obsp(mut self, key: &str, graph: impl IntoCsr) -> Self {
        if let Some(graph) = self.sparse(&format!("obsp[\"{key}\"]"), graph) {
            self.data.obsp.insert(key.to_owned(), graph);
        }
        self
    }

    /// Adds an unstructured element of `uns`.
    #[must_use]
    pub fn uns(mut self, key: &str, value: Uns) -> Self {
        self.data.uns.insert(key.to_owned(), value);
        self
    }

    /// Checks the parts and returns the data set.
    ///
    /// # Errors
    /// [`DatasetError`] names the first part that is not a valid matrix or has the wrong number of cells or genes, or
    /// the first name that appears twice. A data set without cells or without genes is an error too.
    pub fn build(self) -> Result<Dataset, DatasetError> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let (n_cells, n_genes) = (self.data.n_cells(), self.data.n_genes());
        if n_cells == 0 || n_genes == 0 {
            return Err(DatasetError::Empty { n_cells, n_genes });
        }
        self.data.check_names()?;
        self.data.check()?;
        Ok(self.data)
    }

    fn sparse(&mut self, element: &str, matrix: impl IntoCsr) -> Option<Csr> {
        let refused = |problem| DatasetError::Sparse { element: element.to_owned(), problem };
        self.or_wrong(matrix.into_csr().map_err(refused))
    }

    fn dense(&mut self, element: &str, matrix: impl IntoMatrix) -> Option<Matrix> {
        let named = |WrongSize { found, expected, .. }| WrongSize::new(element, found, expected).into();
        self.or_wrong(matrix.into_matrix().map_err(named))
    }

    fn or_wrong<T>(&mut self, part: Result<T, DatasetError>) -> Option<T> {
        match part {
            Ok(part) => Some(part),
            Err(error) => {
                self.wrong.get_or_insert(error);
                None
            }
        }
    }
}

/// Like [`Frame::set`], but without the check of the length: [`DatasetBuilder::build`] checks all lengths.
fn put(frame: &mut Frame, key: &str, column: Column) {
    frame.columns.retain(|(name, _)| name != key);
    frame.columns.push((key.to_owned(), column));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Categorical;

    fn cells() -> DatasetBuilder {
        Dataset::builder(["c1", "c2", "c3"], ["g1", "g2"])
    }

    fn message(builder: DatasetBuilder) -> String {
        builder.build().unwrap_err().to_string()
    }

    #[test]
    fn every_form_of_a_sparse_matrix_is_the_same_matrix() {
        let dense = [0.0, 1.0, 2.0, 0.0, 0.0, 3.0];
        let ours = (2, &dense[..]).into_csr().unwrap();
        let theirs: CsMatI<f32, u32, usize> = ours.clone().into_sprs();
        assert_eq!(ours.nnz(), 3);
        let same = [
            (&ours).into_csr(),
            CsrView::from(&ours).into_csr(),
            IntoCsr::into_csr(theirs.to_csc()), // sprs has a function of that name
            theirs.view().into_csr(),
            (2, ours.pattern().indptr(), ours.pattern().indices(), ours.values()).into_csr(),
        ];
        for matrix in same {
            assert_eq!(matrix.unwrap(), ours);
        }
        let last_two = theirs.slice_outer(1..3).into_csr().unwrap();
        assert_eq!(last_two, ours.select_rows(&[1, 2]));
    }

    #[test]
    fn parts_of_the_right_sizes_make_a_data_set() {
        let x = [1.0, 0.0, 0.0, 2.0, 3.0, 0.0];
        let data = cells()
            .expression((2, &x[..]))
            .layer("raw", (2, &x[..]))
            .obs("clusters", Categorical::from_names(["a", "b", "b"]))
            .obs("day", vec![1_i64, 2, 3])
            .obs("day", &[1.0, 2.0, 3.0][..])
            .var("kept", vec![true, false])
            .var("id", vec!["ENSG1", "ENSG2"])
            .obsm("X_umap", (2, &x[..]))
            .varm("PCs", (1, vec![0.5, 0.5]))
            .obsp("connectivities", (3, &[0, 1, 2, 2][..], &[1_u32, 0][..], &[1.0, 1.0][..]))
            .uns("iroot", Uns::Integers(Vec::new(), vec![0]))
            .build()
            .unwrap();
        assert_eq!(data.obs.columns.len(), 2, "the later column of a name stays");
        assert_eq!(data.numbers("day").unwrap(), [1.0, 2.0, 3.0]);
        assert_eq!(data.expression().unwrap().nnz(), 3);
    }

    #[test]
    fn a_part_that_is_wrong_is_named() {
        let six = [1.0; 6];
        assert_eq!(message(cells().expression((3, &six[..]))), "X is of 2 × 3, expected 3 × 2");
        assert_eq!(message(cells().expression((4, &six[..]))), "X: 6 values do not fill rows of 4");
        assert_eq!(message(cells().layer("raw", (1, &six[..]))), "layers[\"raw\"] is of 6 × 1, expected 3 × 2");
        assert_eq!(message(cells().obs("day", vec![1.0])), "obs[\"day\"] is of 1 cells, expected 3");
        assert_eq!(message(cells().var("id", vec!["a"])), "var[\"id\"] is of 1 genes, expected 2");
        assert_eq!(message(cells().obsm("X_pca", (3, &six[..]))), "obsm[\"X_pca\"] is of 2 cells, expected 3");
        assert_eq!(
            message(cells().obsm("X_pca", (4, &six[..]))),
            "obsm[\"X_pca\"] is of 6 values, expected whole rows of 4"
        );
        assert_eq!(message(cells().varm("PCs", (3, six[..3].to_vec()))), "varm[\"PCs\"] is of 1 genes, expected 2");
        assert_eq!(message(cells().obsp("graph", (2, &six[..]))), "obsp[\"graph\"] is of 3 × 2, expected 3 × 3");
        let beyond = (3, &[0, 1, 1, 1][..], &[5_u32][..], &[1.0][..]);
        assert_eq!(
            message(cells().obsp("graph", beyond)),
            "obsp[\"graph\"]: row 0 has column index 5, but there are 3 columns"
        );
        assert_eq!(
            message(Dataset::builder(["c", "c"], ["g"])),
            "cell c appears twice; names must differ (in scanpy: adata.obs_names_make_unique())"
        );
        assert_eq!(message(Dataset::builder(["c"], Vec::<String>::new())), "there are 1 cells and 0 genes");
    }
}
