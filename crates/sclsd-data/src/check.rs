//! Whether the parts of a data set are of the same cells and genes.

use sclsd_spec::WrongSize;

use crate::names::repeated_name;
use crate::{Column, Csr, Dataset, DatasetError, Frame};

impl Dataset {
    /// That every element is of the cells and genes that `obs` and `var` name: X and layers cells × genes, columns as
    /// long as their table, rows of obsm and varm one per cell and gene, obsp cells × cells. O(number of elements).
    ///
    /// # Errors
    /// [`DatasetError::Shape`] names the first element of another shape.
    pub fn check(&self) -> Result<(), DatasetError> {
        let (cells, genes) = (self.n_cells(), self.n_genes());
        if let Some(x) = &self.x {
            shape("X", x, cells, genes)?;
        }
        for (key, layer) in &self.layers {
            shape(&format!("layers[\"{key}\"]"), layer, cells, genes)?;
        }
        columns("obs", &self.obs, "cells")?;
        columns("var", &self.var, "genes")?;
        for (key, matrix) in &self.obsm {
            rows(&format!("obsm[\"{key}\"]"), matrix.n_rows(), cells, "cells")?;
        }
        for (key, matrix) in &self.varm {
            rows(&format!("varm[\"{key}\"]"), matrix.n_rows(), genes, "genes")?;
        }
        for (key, graph) in &self.obsp {
            shape(&format!("obsp[\"{key}\"]"), graph, cells, cells)?;
        }
        Ok(())
    }

    /// That no two cells and no two genes have the same name: results belong to cells by name, genes are found by name.
    ///
    /// # Errors
    /// [`DatasetError::Duplicate`] with the first name that stands twice.
    pub fn check_names(&self) -> Result<(), DatasetError> {
        for (what, table, names) in [("cell", "obs", &self.obs.names), ("gene", "var", &self.var.names)] {
            if let Some(name) = repeated_name(names) {
                return Err(DatasetError::Duplicate { what, name: name.to_owned(), table });
            }
        }
        Ok(())
    }
}

fn shape(element: &str, matrix: &Csr, n_rows: usize, n_cols: usize) -> Result<(), WrongSize> {
    if (matrix.n_rows(), matrix.n_cols()) == (n_rows, n_cols) {
        return Ok(());
    }
    let found = format!("{} × {}", matrix.n_rows(), matrix.n_cols());
    Err(WrongSize::new(element, found, format!("{n_rows} × {n_cols}")))
}

fn rows(element: &str, found: usize, expected: usize, what: &str) -> Result<(), WrongSize> {
    if found == expected {
        return Ok(());
    }
    Err(WrongSize::new(element, format!("{found} {what}"), expected))
}

fn columns(table: &str, frame: &Frame, what: &str) -> Result<(), WrongSize> {
    let check =
        |(key, column): &(String, Column)| rows(&format!("{table}[\"{key}\"]"), column.len(), frame.len(), what);
    frame.columns.iter().try_for_each(check)
}
