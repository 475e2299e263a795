//! Checks that all parts of a data set have the same cells and genes.

use sclsd_spec::WrongSize;

use crate::names::repeated_name;
use crate::{Column, Csr, Dataset, DatasetError, Frame};

impl Dataset {
    /// Checks that every element has the shape that `obs` and `var` imply: X and layers are `n_cells × n_genes`,
    /// columns are as long as their table, `obsm` and `varm` have one row per cell and gene, and `obsp` is `n_cells ×
    /// n_cells`. O(number of elements).
    ///
    /// # Errors
    /// [`DatasetError::Shape`] names the first element with a wrong shape.
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

    /// Checks that cell names and gene names are unique. Results are matched to cells by name, and genes are looked up
    /// by name.
    ///
    /// # Errors
    /// [`DatasetError::Duplicate`] names the first name that appears twice.
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
