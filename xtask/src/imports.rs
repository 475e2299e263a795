//! Checks imports inside a crate: no module imports from a module that contains it, and there are no import cycles.
//!
//! A module is a file. An item that a module re-exports counts as part of the module that defines it. Test code is
//! ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// Path of a module within its crate. The path of the crate's root is empty.
type Name = Vec<String>;

/// The modules of a crate.
#[derive(Debug, Default)]
pub struct Crate {
    modules: BTreeMap<Name, Module>,
}

#[derive(Debug, Default)]
struct Module {
    lines: usize,
    /// Names that the module imports under, with the path each stands for.
    aliases: BTreeMap<String, Vec<String>>,
    /// Every path that the module's code names.
    paths: BTreeSet<Vec<String>>,
}

/// A forbidden import.
#[derive(Debug, PartialEq, Eq)]
pub enum Complaint {
    /// Import of an item that is defined in a module that contains the importing module.
    BackUp(String, String),
    /// An import cycle of modules.
    Circle(Vec<String>),
}

impl std::fmt::Display for Complaint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BackUp(from, to) => write!(f, "{from} imports from {to}, which holds it"),
            Self::Circle(modules) => write!(f, "{} import each other", modules.join(", ")),
        }
    }
}

impl Crate {
    /// Reads a crate from its root, `lib.rs` or `main.rs`.
    ///
    /// # Panics
    /// If a file is missing or is not valid Rust.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let mut all = Self::default();
        let directory = root.parent().expect("a root is in a directory");
        all.file(root, directory, &[]);
        all
    }

    fn file(&mut self, path: &Path, directory: &Path, name: &[String]) {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut found = Found::default();
        found.visit_file(&file);
        let module = Module { lines: text.lines().count(), aliases: found.aliases, paths: found.paths };
        self.modules.insert(name.to_vec(), module);
        for child in found.children {
            let file = directory.join(format!("{child}.rs"));
            self.file(&file, &directory.join(&child), &[name, &[child]].concat());
        }
    }

    /// Number of lines of all files.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.modules.values().map(|module| module.lines).sum()
    }

    /// The module that defines the item at `path`, as seen from `from`; `None` if the item is in another crate.
    fn defines(&self, from: &Name, path: &[String]) -> Option<Name> {
        let mut at = match path.first().map(String::as_str)? {
            "crate" => Vec::new(),
            "self" => from.clone(),
            "super" => from[..from.len().checked_sub(1)?].to_vec(),
            first => {
                let child = [from.clone(), vec![first.to_owned()]].concat();
                if self.modules.contains_key(&child) {
                    return self.within(child, &path[1..]);
                }
                return None;
            }
        };
        let mut rest = &path[1..];
        while rest.first().is_some_and(|next| next == "super") {
            at.pop()?;
            rest = &rest[1..];
        }
        self.within(at, rest)
    }

    /// The same for a path within a module.
    fn within(&self, at: Name, path: &[String]) -> Option<Name> {
        let Some(next) = path.first() else { return Some(at) };
        let child = [at.clone(), vec![next.clone()]].concat();
        if self.modules.contains_key(&child) {
            return self.within(child, &path[1..]);
        }
        if let Some(alias) = self.modules[&at].aliases.get(next)
            && alias.first() != Some(next)
        {
            return self.defines(&at, &[alias.as_slice(), &path[1..]].concat());
        }
        if self.modules[&at].aliases.contains_key(next) {
            return None; // of another crate
        }
        Some(at)
    }

    /// For each module, the modules it imports from.
    #[must_use]
    pub fn imports(&self) -> BTreeMap<String, BTreeSet<String>> {
        let all = self.edges();
        all.into_iter().map(|(from, to)| (shown(&from), to.iter().map(shown).collect())).collect()
    }

    fn edges(&self) -> BTreeMap<Name, BTreeSet<Name>> {
        let of = |(from, module): (&Name, &Module)| {
            let to = module.paths.iter().filter_map(|path| self.defines(from, path)).filter(|to| to != from);
            (from.clone(), to.collect())
        };
        self.modules.iter().map(of).collect()
    }

    /// Every forbidden import.
    #[must_use]
    pub fn complaints(&self) -> Vec<Complaint> {
        let edges = self.edges();
        let mut complaints = Vec::new();
        for (from, all) in &edges {
            for to in all.iter().filter(|to| from.starts_with(to)) {
                complaints.push(Complaint::BackUp(shown(from), shown(to)));
            }
        }
        let reach: BTreeMap<&Name, BTreeSet<&Name>> = edges.keys().map(|from| (from, reached(&edges, from))).collect();
        let mut told = BTreeSet::new();
        for from in edges.keys().filter(|from| reach[from].contains(from)) {
            let circle: Vec<&Name> =
                edges.keys().filter(|to| reach[from].contains(to) && reach[to].contains(from)).collect();
            if told.insert(circle.clone()) {
                complaints.push(Complaint::Circle(circle.into_iter().map(shown).collect()));
            }
        }
        complaints
    }
}

/// All modules that a module imports from, directly or indirectly.
fn reached<'a>(edges: &'a BTreeMap<Name, BTreeSet<Name>>, from: &Name) -> BTreeSet<&'a Name> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&Name> = edges[from].iter().collect();
    while let Some(at) = next.pop() {
        if seen.insert(at) {
            next.extend(&edges[at]);
        }
    }
    seen
}

fn shown(name: &Name) -> String {
    if name.is_empty() { "the root".into() } else { name.join("::") }
}

/// Items found in a file.
#[derive(Default)]
struct Found {
    children: Vec<String>,
    aliases: BTreeMap<String, Vec<String>>,
    paths: BTreeSet<Vec<String>>,
}

/// Whether an item exists for tests or documentation only.
fn for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return attribute.path().is_ident("test") };
        let tokens = list.tokens.to_string();
        list.path.is_ident("cfg") && (tokens == "test" || tokens == "doctest")
    })
}

impl Found {
    fn tree(&mut self, tree: &syn::UseTree, mut path: Vec<String>) {
        match tree {
            syn::UseTree::Path(next) => {
                path.push(next.ident.to_string());
                self.tree(&next.tree, path);
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(item, path.clone())),
            syn::UseTree::Glob(_) => {
                self.paths.insert(path);
            }
            syn::UseTree::Name(name) => self.named(path, &name.ident.to_string(), &name.ident.to_string()),
            syn::UseTree::Rename(rename) => self.named(path, &rename.ident.to_string(), &rename.rename.to_string()),
        }
    }

    fn named(&mut self, mut path: Vec<String>, name: &str, own: &str) {
        let own = if own == "self" { path.last().cloned().unwrap_or_default() } else { own.to_owned() };
        if name != "self" {
            path.push(name.to_owned());
        }
        self.aliases.insert(own, path.clone());
        self.paths.insert(path);
    }

    /// Collects paths in the arguments of a macro.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.end(&mut path);
                    self.tokens(group.stream());
                }
                _ => self.end(&mut path),
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.paths.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Found {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes: &[syn::Attribute] = match item {
            syn::Item::Const(item) => &item.attrs,
            syn::Item::Enum(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Macro(item) => &item.attrs,
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Static(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            syn::Item::Trait(item) => &item.attrs,
            syn::Item::Type(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if !for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.content.is_none() {
            self.children.push(item.ident.to_string());
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&item.tree, Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            self.paths.insert(names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a crate of these files and returns its forbidden imports.
    fn read(files: &[(&str, &str)]) -> Vec<String> {
        let directory = std::env::temp_dir().join(format!("imports-{}-{}", std::process::id(), files.len()));
        for (name, text) in files {
            let path = directory.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let found = Crate::read(&directory.join("lib.rs"));
        std::fs::remove_dir_all(&directory).unwrap();
        found.complaints().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn imports_of_what_a_holder_defines_and_circles_are_told_and_re_exports_and_tests_are_seen_through() {
        let holder = "mod a { } mod x; mod y; pub use x::Thing; pub struct Own;";
        let fine = [("lib.rs", holder), ("x.rs", "pub struct Thing;"), ("y.rs", "use crate::Thing;")];
        assert_eq!(read(&fine), Vec::<String>::new());
        let up = [
            ("lib.rs", holder),
            ("x.rs", "pub struct Thing; #[cfg(test)] mod tests { use crate::y::f; }"),
            ("y.rs", "use crate::x::Thing; fn f() { assert!(crate::Own.is()) }"),
            ("none.rs", ""),
        ];
        assert_eq!(read(&up), ["y imports from the root, which holds it"]);
        let circle = [("lib.rs", "mod x; mod y;"), ("x.rs", "use super::y;"), ("y.rs", "fn f(_: super::x::Thing) {}")];
        assert_eq!(read(&[circle[0], circle[1], circle[2], ("a.rs", ""), ("b.rs", "")]), ["x, y import each other"]);
    }
}
