//! A data set from plain parts.

use sclsd_spec::WrongSize;
use sprs::{CsMatI, CsMatViewI};

use crate::{Column, Csr, CsrView, Dataset, DatasetError, Frame, Matrix, SparseError, Uns};

/// What a sparse matrix can be made of.
pub trait IntoCsr {
    /// The matrix; arrays are taken over where that can be.
    ///
    /// # Errors
    /// [`SparseError`] names what is no sparse matrix about them.
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

/// Stored by rows or by columns.
impl IntoCsr for CsMatI<f32, u32, usize> {
    fn into_csr(self) -> Result<Csr, SparseError> {
        Ok(Csr::from(self))
    }
}

/// Stored by rows or by columns; slices of another matrix, too.
impl IntoCsr for CsMatViewI<'_, f32, u32, usize> {
    fn into_csr(self) -> Result<Csr, SparseError> {
        Ok(Csr::from(self.to_owned()))
    }
}

/// `n_cols`, row pointer, columns and values, in compressed rows; the columns of a row may be in any order.
impl IntoCsr for (usize, &[usize], &[u32], &[f32]) {
    fn into_csr(self) -> Result<Csr, SparseError> {
        let (n_cols, indptr, indices, values) = self;
        Csr::from_arrays(n_cols, indptr.to_vec(), indices.to_vec(), values.to_vec())
    }
}

/// `n_cols` and all values, row after row; what is 0 is not stored.
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

/// What a dense matrix can be made of.
pub trait IntoMatrix {
    /// The matrix.
    ///
    /// # Errors
    /// [`WrongSize`] where values do not fill whole rows.
    fn into_matrix(self) -> Result<Matrix, WrongSize>;
}

impl IntoMatrix for Matrix {
    fn into_matrix(self) -> Result<Matrix, WrongSize> {
        Ok(self)
    }
}

/// `n_cols` and all values, row after row.
impl IntoMatrix for (usize, Vec<f32>) {
    fn into_matrix(self) -> Result<Matrix, WrongSize> {
        Matrix::try_new(self.0, self.1)
    }
}

/// `n_cols` and all values, row after row.
impl IntoMatrix for (usize, &[f32]) {
    fn into_matrix(self) -> Result<Matrix, WrongSize> {
        Matrix::try_new(self.0, self.1.to_vec())
    }
}

/// Puts a [`Dataset`] together; [`build`](Self::build) checks it.
#[derive(Debug)]
pub struct DatasetBuilder {
    data: Dataset,
    /// The first part that is none.
    wrong: Option<DatasetError>,
}

impl Dataset {
    /// A data set of these cells and genes, to which parts are added.
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
    /// X: normalised expression, cells × genes.
    #[must_use]
    pub fn expression(mut self, x: impl IntoCsr) -> Self {
        self.data.x = self.sparse("X", x);
        self
    }

    /// A further matrix of cells × genes; counts are `raw`.
    #[must_use]
    pub fn layer(mut self, key: &str, matrix: impl IntoCsr) -> Self {
        if let Some(matrix) = self.sparse(&format!("layers[\"{key}\"]"), matrix) {
            self.data.layers.insert(key.to_owned(), matrix);
        }
        self
    }

    /// A value for every cell.
    #[must_use]
    pub fn obs(mut self, key: &str, column: impl Into<Column>) -> Self {
        put(&mut self.data.obs, key, column.into());
        self
    }

    /// A value for every gene.
    #[must_use]
    pub fn var(mut self, key: &str, column: impl Into<Column>) -> Self {
        put(&mut self.data.var, key, column.into());
        self
    }

    /// Coordinates of cells, a row each.
    #[must_use]
    pub fn obsm(mut self, key: &str, matrix: impl IntoMatrix) -> Self {
        if let Some(matrix) = self.dense(&format!("obsm[\"{key}\"]"), matrix) {
            self.data.obsm.insert(key.to_owned(), matrix);
        }
        self
    }

    /// Coordinates of genes, a row each.
    #[must_use]
    pub fn varm(mut self, key: &str, matrix: impl IntoMatrix) -> Self {
        if let Some(matrix) = self.dense(&format!("varm[\"{key}\"]"), matrix) {
            self.data.varm.insert(key.to_owned(), matrix);
        }
        self
    }

    /// A graph of cells, cells × cells.
    #[must_use]
    pub fn obsp(mut self, key: &str, graph: impl IntoCsr) -> Self {
        if let Some(graph) = self.sparse(&format!("obsp[\"{key}\"]"), graph) {
            self.data.obsp.insert(key.to_owned(), graph);
        }
        self
    }

    /// Anything else.
    #[must_use]
    pub fn uns(mut self, key: &str, value: Uns) -> Self {
        self.data.uns.insert(key.to_owned(), value);
        self
    }

    /// The data set.
    ///
    /// # Errors
    /// [`DatasetError`] names the first part that is no matrix, or is of other cells or genes, the first name that
    /// stands twice, or says that there are no cells or no genes.
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

/// Unlike [`Frame::set`] whatever the length: it is checked in the end.
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
