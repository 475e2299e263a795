//! Figures and the report: results in, pictures out. Empty so far: no figure has been written, and nothing here
//! pretends to draw one. It may depend on the data and analysis crates, and on nothing else of this workspace.
