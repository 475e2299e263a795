//! Checks pictures: the number of marks equals the number of cells, names are in the right places, and nothing lies
//! outside the frame. Some pictures are compared with saved images (`tests/pictures/`, updated with
//! `SCLSD_UPDATE_PICTURES=1`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use roxmltree::{Document, Node};
use sclsd_data::{Categorical, Matrix};
use sclsd_plot::{
    CalibrationCurve, ColorMap, ColoredFates, Coloring, Curve, FateChange, FateCounts, Format, Landscape, Panel, Paths,
    Picture, Places, StreamStyle, View, calibration, contour_map, embedding, fate_circle, fate_probabilities, fates,
    panels, perturbations, stream, surface, walks,
};

const FATES: [&str; 4] = ["Alpha", "Beta", "Delta & co", "Gamma"];
const COLORS: [[u8; 3]; 4] = [[0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167]];

const NAMES: [&str; 3] = ["Early & young", "Middle", "Late"];

/// Cells along an arc from right to left, in three groups.
struct Arc {
    points: Matrix,
    velocity: Matrix,
    time: Vec<f64>,
    groups: Categorical,
}

#[expect(clippy::cast_possible_truncation, reason = "small decimals")]
fn arc(n: u32) -> Arc {
    let (mut points, mut velocity, mut time, mut names) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for i in 0..n {
        let share = f64::from(i) / f64::from(n);
        let radius = 8.0 + 1.5 * (f64::from(i) * 0.618_034).fract();
        let (sin, cos) = (share * std::f64::consts::PI).sin_cos();
        points.extend([(radius * cos) as f32, (radius * sin) as f32]);
        velocity.extend([-sin as f32, cos as f32]);
        time.push(share);
        names.push(NAMES[(3 * i / n) as usize]);
    }
    let groups = Categorical::from_names(names);
    Arc { points: Matrix::new(2, points), velocity: Matrix::new(2, velocity), time, groups }
}

impl Arc {
    fn places(&self) -> Places<'_> {
        Places { basis: "X_umap", points: &self.points }
    }

    fn by_group(&self) -> Coloring {
        Coloring::Groups(self.groups.clone())
    }

    fn by_time(&self) -> Coloring {
        Coloring::Numbers { name: "pseudotime".into(), values: self.time.clone(), color_map: ColorMap::Viridis }
    }

    /// Probabilities of `n` fates that vary along the arc. The first cells of every hundred reach no fate.
    #[expect(clippy::cast_precision_loss, reason = "a few fates")]
    fn fates(&self, n: usize) -> ColoredFates {
        let mut values = Vec::new();
        for (cell, time) in self.time.iter().enumerate() {
            let sure = time * time;
            let p = |fate: usize| (1.0 - sure) / n as f64 + if fate == cell % n { sure } else { 0.0 };
            values.extend((0..n).map(|fate| if *time < 0.01 { 0.0 } else { p(fate) }));
        }
        let names = FATES[..n].iter().map(|&name| name.to_owned()).collect();
        ColoredFates { names, colors: COLORS[..n].to_vec(), values }
    }

    /// A path along the arc.
    fn path(&self) -> Vec<[f64; 2]> {
        let n = self.points.n_rows();
        (0..n).step_by(n / 20).map(|i| [f64::from(self.points.row(i)[0]), f64::from(self.points.row(i)[1])]).collect()
    }
}

fn svg(picture: &Picture) -> String {
    String::from_utf8(picture.render(Format::Svg).unwrap()).unwrap()
}

fn group<'a, 'input>(document: &'a Document<'input>, class: &str) -> Vec<Node<'a, 'input>> {
    document.descendants().filter(|node| node.attribute("class") == Some(class)).collect()
}

fn count(within: &Node<'_, '_>, tag: &str) -> usize {
    within.descendants().filter(|node| node.has_tag_name(tag)).count()
}

fn number(node: &Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).unwrap_or_else(|| panic!("{name} of {node:?}")).parse().unwrap()
}

/// Left, top, right and bottom of the first frame.
fn frame(document: &Document<'_>) -> [f64; 4] {
    frames(document)[0]
}

/// Left, top, right and bottom of every frame.
fn frames(document: &Document<'_>) -> Vec<[f64; 4]> {
    let edges = |frame: &Node<'_, '_>| {
        let frame = frame.descendants().find(|n| n.has_tag_name("rect")).unwrap();
        let [x, y, width, height] = ["x", "y", "width", "height"].map(|name| number(&frame, name));
        [x, y, x + width, y + height]
    };
    group(document, "frame").iter().map(edges).collect()
}

fn circles<'a, 'input>(within: &Node<'a, 'input>) -> Vec<Node<'a, 'input>> {
    within.descendants().filter(|node| node.has_tag_name("circle")).collect()
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Points of a path or polyline.
fn points(node: &Node<'_, '_>) -> Vec<(f64, f64)> {
    let text = node.attribute("d").or(node.attribute("points")).unwrap();
    let numbers: Vec<f64> = text
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter_map(|part| part.trim_matches(char::is_alphabetic).parse().ok())
        .collect();
    numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

fn assert_within(document: &Document<'_>, class: &str) -> usize {
    let [left, top, right, bottom] = frame(document);
    let mut lines = 0;
    for part in group(document, class) {
        for node in part.descendants().filter(|n| n.has_tag_name("path") || n.has_tag_name("polyline")) {
            for (x, y) in points(&node) {
                assert!(
                    (left - 5.0..=right + 5.0).contains(&x) && (top - 5.0..=bottom + 5.0).contains(&y),
                    "{class}: {x} {y}"
                );
            }
            lines += 1;
        }
    }
    lines
}

fn texts(document: &Document<'_>) -> Vec<String> {
    document.descendants().filter(|n| n.has_tag_name("text")).filter_map(|n| n.text().map(str::to_owned)).collect()
}

#[test]
fn an_embedding_has_a_mark_for_every_cell_and_a_legend_entry_for_every_group() {
    let arc = arc(600);
    let text = svg(&embedding(arc.places(), &arc.by_group(), "clusters"));
    let document = Document::parse(&text).unwrap();
    let cells = &group(&document, "cells")[0];
    assert_eq!(count(cells, "circle"), 600);
    let [left, top, right, bottom] = frame(&document);
    for cell in cells.descendants().filter(|n| n.has_tag_name("circle")) {
        let (x, y, r) = (number(&cell, "cx"), number(&cell, "cy"), number(&cell, "r"));
        assert!(x - r >= left && x + r <= right && y - r >= top && y + r <= bottom, "a cell is clipped at {x} {y}");
    }
    let legend = &group(&document, "legend")[0];
    assert_eq!((count(legend, "circle"), count(legend, "text")), (3, 3));
    for name in NAMES {
        assert!(texts(&document).iter().any(|text| text == name), "{name} is named");
    }
    let first = legend.descendants().find(|n| n.has_tag_name("circle")).unwrap();
    assert!(number(&first, "cx") > right, "the legend covers no cell");
    assert_eq!(texts(&document).iter().filter(|t| t.starts_with("UMAP ")).count(), 2);
}

#[test]
fn each_group_has_as_many_marks_of_its_colour_as_cells() {
    let arc = arc(300);
    let text = svg(&embedding(arc.places(), &arc.by_group(), "clusters"));
    let document = Document::parse(&text).unwrap();
    let fills = |class: &str| -> Vec<String> {
        let circles = group(&document, class)[0].descendants().filter(|n| n.has_tag_name("circle")).collect::<Vec<_>>();
        circles.iter().map(|n| n.attribute("fill").unwrap().to_owned()).collect()
    };
    for color in fills("legend") {
        assert_eq!(fills("cells").iter().filter(|fill| **fill == color).count(), 100, "{color}");
    }
}

#[test]
fn more_cells_than_marks_are_an_image_under_text_that_stays_text() {
    let n = u32::try_from(Picture::MAX_MARKS).unwrap() + 1;
    let arc = arc(n);
    let text = svg(&embedding(arc.places(), &arc.by_time(), "many"));
    let document = Document::parse(&text).unwrap();
    assert!(group(&document, "cells")[0].has_tag_name("image"));
    assert_eq!(count(&document.root(), "circle"), 0);
    assert!(texts(&document).iter().any(|t| t == "many") && texts(&document).iter().any(|t| t == "0.4"));
    let image = group(&document, "cells")[0].attribute("href").unwrap();
    assert!(image.len() > 20_000, "the image is not empty: {} bytes", image.len());
    let many = decode(&embedding(arc.places(), &arc.by_time(), "many").render(Format::Png).unwrap());
    assert!(many.colored() > 0.03, "the PNG shows the cells too: {}", many.colored());
}

#[test]
fn a_colour_bar_says_what_it_measures() {
    let arc = arc(200);
    let text = svg(&embedding(arc.places(), &arc.by_time(), "time"));
    let document = Document::parse(&text).unwrap();
    let bar = &group(&document, "colorbar")[0];
    assert!(count(bar, "rect") >= 50);
    let message: Vec<String> =
        bar.descendants().filter(|n| n.has_tag_name("text")).filter_map(|n| n.text().map(str::to_owned)).collect();
    assert_eq!(message[0], "pseudotime");
    assert!(message.contains(&"0.0".to_owned()) && message.len() >= 4, "{message:?}");
}

#[test]
fn streamlines_run_the_way_cells_go_and_stay_within_the_frame() {
    let arc = arc(2000);
    for color_by_speed in [false, true] {
        let style = StreamStyle { color_by_speed, ..StreamStyle::default() };
        let text = svg(&stream(arc.places(), &arc.velocity, &arc.by_group(), &style, "stream"));
        let document = Document::parse(&text).unwrap();
        assert!(assert_within(&document, "streamlines") > 4);
        assert_eq!(count(&group(&document, "cells")[0], "circle"), 2000);
    }
    let lines = sclsd_plot::stream_lines(arc.places(), &arc.velocity, &StreamStyle::default());
    for line in &lines {
        let angle = |p: &[f64; 2]| (p[1].atan2(p[0]) + 1.0).rem_euclid(std::f64::consts::TAU);
        let (first, last) = (angle(&line.places[0]), angle(&line.places[line.places.len() - 1]));
        assert!(last > first, "from the right foot to the left: {first} to {last}");
    }
}

#[test]
fn a_landscape_has_heights_contours_and_paths_within_the_frame() {
    let arc = arc(1500);
    let potential: Vec<f64> = arc.time.iter().map(|t| 3.0 - 2.0 * t).collect();
    let landscape = Landscape::new(arc.places(), &potential);
    let text = svg(&contour_map(&landscape, &[arc.path()], "landscape"));
    let document = Document::parse(&text).unwrap();
    assert!(count(&group(&document, "heights")[0], "rect") > 500);
    assert!(assert_within(&document, "contours") >= 8, "contours across the arc");
    assert_eq!(assert_within(&document, "paths"), 2, "a path and the white around it");
    assert!(texts(&document).iter().any(|t| t == "potential V"));

    let text = svg(&surface(&landscape, &[arc.path()], View::default(), "surface"));
    let document = Document::parse(&text).unwrap();
    let drawn = &group(&document, "surface")[0];
    assert!(count(drawn, "path") > 500, "tiles");
    let (width, height) = (number(&document.root_element(), "width"), number(&document.root_element(), "height"));
    for node in drawn.descendants().filter(|n| n.has_tag_name("path")) {
        assert!(
            points(&node).iter().all(|&(x, y)| (0.0..=width).contains(&x) && (0.0..=height).contains(&y)),
            "a tile is clipped"
        );
    }
}

#[test]
fn walks_have_a_start_an_end_and_a_name_for_every_kind() {
    let arc = arc(400);
    let kinds = [
        Paths { name: "prior walks".into(), places: vec![arc.path(), arc.path()] },
        Paths { name: "model".into(), places: vec![arc.path()] },
    ];
    let text = svg(&walks(arc.places(), &arc.by_group(), &kinds, "walks"));
    let document = Document::parse(&text).unwrap();
    let ends: usize = group(&document, "ends").iter().map(|ends| count(ends, "circle")).sum();
    assert_eq!(ends, 2 * 3, "a ring and a disc for each path");
    assert_within(&document, "paths");
    for name in ["prior walks", "model"] {
        assert!(texts(&document).iter().any(|t| t.starts_with(name)), "{name}");
    }
}

#[test]
fn panels_show_every_curve_under_its_title() {
    let x: Vec<f64> = (1..=50).map(f64::from).collect();
    let curve = |name: &str, scale: f64| Curve {
        name: name.into(),
        color: [0, 114, 178],
        values: x.iter().map(|v| scale / v).collect(),
        band: None,
    };
    let all = [
        Panel { title: "loss".into(), curves: vec![curve("loss", 9.0)] },
        Panel { title: "two".into(), curves: vec![curve("first", 1.0), curve("second", 2.0)] },
    ];
    let text = svg(&panels("epoch", &x, &all, "training"));
    let document = Document::parse(&text).unwrap();
    let message = texts(&document);
    for name in ["training", "loss", "two", "epoch", "first", "second"] {
        assert!(message.iter().any(|t| t == name), "{name} in {message:?}");
    }
    let curves = document.descendants().filter(|n| n.attribute("stroke") == Some("#0072b2") && points_of(n) >= 50);
    assert_eq!(curves.count(), 3);
}

fn points_of(node: &Node<'_, '_>) -> usize {
    if node.has_tag_name("path") || node.has_tag_name("polyline") { points(node).len() } else { 0 }
}

#[test]
fn fates_flow_from_every_cluster_to_every_fate_it_has() {
    let counts = FateCounts {
        clusters: NAMES.map(str::to_owned).to_vec(),
        colors: vec![[10, 20, 30], [40, 50, 60], [70, 80, 90]],
        cells: vec![0.0, 9.5, 30.5, 0.0, 5.5, 14.5, 0.0, 0.0, 40.0],
    };
    let text = svg(&fates(&counts, "fates"));
    let document = Document::parse(&text).unwrap();
    let message = texts(&document);
    for wanted in ["Early & young (40)", "Middle (20)", "Late (40)", "Middle: 15.0 %", "Late: 85.0 %"] {
        assert!(message.iter().any(|t| t == wanted), "{wanted} in {message:?}");
    }
    assert!(!message.iter().any(|t| t.starts_with("Early & young:")), "nobody ends there");
    assert_eq!(
        document.descendants().filter(|n| n.has_tag_name("path")).count(),
        5,
        "one flow for each pair with cells"
    );
}

#[test]
fn every_fate_has_a_panel_with_its_name_and_every_cell_within_it() {
    let arc = arc(300);
    for n in 1..5 {
        let text = svg(&fate_probabilities(arc.places(), &arc.fates(n), "probabilities"));
        let document = Document::parse(&text).unwrap();
        let (frames, panels) = (frames(&document), group(&document, "cells"));
        assert_eq!((frames.len(), panels.len()), (n, n));
        for ([left, top, right, bottom], panel) in frames.iter().zip(&panels) {
            let cells = circles(panel);
            assert_eq!(cells.len(), 300);
            for cell in cells {
                let [x, y, r] = ["cx", "cy", "r"].map(|name| number(&cell, name));
                assert!(x - r >= *left && x + r <= *right && y - r >= *top && y + r <= *bottom, "clipped at {x} {y}");
            }
        }
        for (i, a) in frames.iter().enumerate() {
            assert!(frames[..i].iter().all(|b| a[0] > b[2] || a[1] > b[3]), "panels do not overlap");
        }
        let message = texts(&document);
        assert!(FATES[..n].iter().all(|name| message.iter().any(|t| t == name)), "{message:?}");
        let root = document.root_element();
        let (width, height) = (number(&root, "width"), number(&root, "height"));
        assert!(frames.iter().all(|f| f[2] < width && f[3] < height));
    }
}

#[test]
fn a_probability_is_as_far_from_grey_to_the_fates_color_whatever_the_others_are() {
    let points = Matrix::new(2, vec![0.0, 0.0, 1.0, 0.0, 2.0, 0.0]);
    let places = Places { basis: "X_umap", points: &points };
    let fates = |values: [f64; 6]| ColoredFates {
        names: ["a", "b"].map(str::to_owned).to_vec(),
        colors: vec![[24, 124, 224], [0, 0, 0]],
        values: values.to_vec(),
    };
    // 224 is the grey of probability 0.
    for (values, colors) in [
        ([0.0, 1.0, 0.5, 0.5, 1.0, 0.0], ["#e0e0e0", "#7caee0", "#187ce0"]),
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5], ["#7caee0"; 3]),
    ] {
        let text = svg(&fate_probabilities(places, &fates(values), ""));
        let document = Document::parse(&text).unwrap();
        let mut cells = circles(&group(&document, "cells")[0]);
        cells.sort_by(|a, b| number(a, "cx").total_cmp(&number(b, "cx")));
        let fills: Vec<&str> = cells.iter().map(|cell| cell.attribute("fill").unwrap()).collect();
        assert_eq!(fills, colors);
        let bars = group(&document, "colorbar");
        assert_eq!(bars.len(), 1, "one key for all panels");
        let message: Vec<&str> = bars[0].descendants().filter_map(|node| node.text()).collect();
        assert!(["probability", "0.0", "1.0"].iter().all(|text| message.contains(text)), "{message:?}");
        assert!(group(&document, "unreached").is_empty(), "every cell reaches a terminal state");
    }
}

#[test]
fn the_same_cells_are_on_top_in_the_panel_of_every_fate() {
    let arc = arc(200);
    let text = svg(&fate_probabilities(arc.places(), &arc.fates(2), ""));
    let document = Document::parse(&text).unwrap();
    let (frames, panels) = (frames(&document), group(&document, "cells"));
    let order = |panel: usize| -> Vec<i64> {
        #[expect(clippy::cast_possible_truncation, reason = "hundredths of a unit on paper")]
        let tell = |cell: &Node<'_, '_>| {
            (1e4 * number(cell, "cy") + 10.0 * (number(cell, "cx") - frames[panel][0])).round() as i64
        };
        circles(&panels[panel]).iter().map(tell).collect()
    };
    assert_eq!(order(0), order(1));
}

#[test]
fn a_cell_that_reaches_no_terminal_state_is_a_ring_and_the_key_says_so() {
    let arc = arc(300);
    let text = svg(&fate_probabilities(arc.places(), &arc.fates(3), ""));
    let document = Document::parse(&text).unwrap();
    for panel in group(&document, "cells") {
        assert_eq!(circles(&panel).iter().filter(|cell| cell.attribute("fill") == Some("none")).count(), 3);
    }
    assert_eq!(count(&group(&document, "unreached")[0], "circle"), 1);
    let message = texts(&document);
    assert!(message.iter().any(|t| t == "reaches no") && message.iter().any(|t| t == "terminal state"), "{message:?}");
}

#[test]
fn more_cells_of_all_panels_than_marks_are_one_image() {
    let arc = arc(u32::try_from(Picture::MAX_MARKS / 3).unwrap() + 1);
    let fates = arc.fates(3);
    let text = svg(&fate_probabilities(arc.places(), &fates, "many"));
    let document = Document::parse(&text).unwrap();
    let cells = group(&document, "cells");
    assert!(cells.len() == 1 && cells[0].has_tag_name("image"));
    assert_eq!(frames(&document).len(), 3);
    let many = decode(&fate_probabilities(arc.places(), &fates, "many").render(Format::Png).unwrap());
    assert!(many.colored() > 0.02, "the PNG shows the cells too: {}", many.colored());
}

#[test]
fn a_circle_has_a_corner_for_every_fate_and_cells_of_the_color_of_their_likeliest() {
    let arc = arc(300);
    for n in 2..5 {
        let fates = arc.fates(n);
        let text = svg(&fate_circle(&fates, None, "circle"));
        let document = Document::parse(&text).unwrap();
        let cells = circles(&group(&document, "cells")[0]);
        assert_eq!(cells.len(), 297, "all but those that reach nothing");
        let corners = &group(&document, "corners")[0];
        let message = texts(&document);
        for (fate, color) in COLORS[..n].iter().enumerate() {
            let own = cells.iter().filter(|cell| cell.attribute("fill") == Some(&hex(*color))).count();
            assert_eq!(own, (3..300).filter(|cell| cell % n == fate).count(), "{}", FATES[fate]);
            assert!(corners.descendants().any(|node| node.attribute("stroke") == Some(&hex(*color))));
            assert!(message.iter().any(|t| t == FATES[fate]), "{message:?}");
        }
        assert!(message.iter().any(|t| t == "not shown: 3 of 300 cells, which reach no terminal state"), "{message:?}");
        let root = document.root_element();
        for cell in &cells {
            let [x, y] = ["cx", "cy"].map(|name| number(cell, name));
            assert!(x > 0.0 && x < number(&root, "width") && y > 0.0 && y < number(&root, "height"));
        }
    }
    let by_group = svg(&fate_circle(&arc.fates(3), Some(&arc.by_group()), ""));
    let document = Document::parse(&by_group).unwrap();
    assert_eq!(count(&group(&document, "legend")[0], "circle"), 3, "clusters have a legend");
}

#[test]
fn on_a_circle_more_cells_than_marks_are_an_image() {
    let arc = arc(u32::try_from(Picture::MAX_MARKS).unwrap() + 1);
    let text = svg(&fate_circle(&arc.fates(3), Some(&arc.by_time()), "many"));
    let document = Document::parse(&text).unwrap();
    assert!(group(&document, "cells")[0].has_tag_name("image"));
    assert!(texts(&document).iter().any(|t| t == "Alpha") && texts(&document).iter().any(|t| t == "pseudotime"));
}

#[test]
fn what_is_calibrated_lies_on_the_diagonal_and_marks_are_as_large_as_bins_have_predictions() {
    let curve = |name: &str, observed: [f64; 3], counts: [usize; 3]| CalibrationCurve {
        name: name.into(),
        predicted: vec![0.2, 0.5, 0.8],
        observed: observed.to_vec(),
        counts: counts.to_vec(),
    };
    let all = [curve("model", [0.2, 0.5, 0.8], [400, 100, 25]), curve("prior", [0.9, f64::NAN, 0.1], [9, 0, 9])];
    let text = svg(&calibration(&all, "calibration"));
    let document = Document::parse(&text).unwrap();
    let [left, top, right, bottom] = frame(&document);
    let marks = circles(&group(&document, "bins")[0]);
    assert_eq!(marks.len(), 5, "a bin without predictions has no mark");
    let legend = circles(&group(&document, "legend")[0]);
    let model = legend[0].attribute("fill");
    let own: Vec<&Node<'_, '_>> = marks.iter().filter(|mark| mark.attribute("fill") == model).collect();
    for mark in &own {
        let along = (number(mark, "cx") - left) / (right - left);
        let upwards = (bottom - number(mark, "cy")) / (bottom - top);
        assert!((along - upwards).abs() < 1e-3, "{along} {upwards}");
    }
    assert!((number(own[0], "r") / number(own[1], "r") - 2.0).abs() < 1e-2, "area is the number of predictions");
    assert_eq!(assert_within(&document, "curves"), 2);
    assert_eq!(assert_within(&document, "diagonal"), 1);
    let message = texts(&document);
    for wanted in ["model", "prior", "predicted probability", "observed frequency", "400"] {
        assert!(message.iter().any(|t| t == wanted), "{wanted} in {message:?}");
    }
}

#[test]
fn perturbations_have_a_mark_for_every_gene_and_fate() {
    let change = |gene: &str, fate: &str, fold: f64, cells| FateChange {
        gene: gene.into(),
        fate: fate.into(),
        log2_fold_change: fold,
        cells,
    };
    let changes = [
        change("Arx", "Alpha", -2.0, 100),
        change("Arx", "Beta", 1.0, 50),
        change("Pax4", "Alpha", 0.0, 25),
        change("Pax4", "Beta", -0.5, 400),
    ];
    let text = svg(&perturbations(&changes, "perturb"));
    let document = Document::parse(&text).unwrap();
    let marks: Vec<Node<'_, '_>> =
        group(&document, "changes")[0].descendants().filter(|n| n.has_tag_name("circle")).collect();
    assert_eq!(marks.len(), 4);
    assert!((number(&marks[0], "r") / number(&marks[2], "r") - 2.0).abs() < 1e-2, "area is the number of cells");
    let message = texts(&document);
    assert!(["Arx", "Pax4", "Alpha", "Beta"].iter().all(|name| message.iter().any(|t| t == name)), "{message:?}");
}

#[test]
fn a_picture_of_no_or_one_or_odd_cells_is_still_a_picture() {
    for places in [vec![], vec![1.0, 2.0], vec![1.0, 1.0, 1.0, 1.0], vec![f32::NAN, 1.0, 3.0, 4.0]] {
        let points = Matrix::new(2, places);
        let n = points.n_rows();
        let places = Places { basis: "X_umap", points: &points };
        let numbers = Coloring::Numbers { name: "x".into(), values: vec![f64::NAN; n], color_map: ColorMap::Viridis };
        let velocity = Matrix::new(2, vec![0.0; 2 * n]);
        let fates = |values: Vec<f64>| ColoredFates {
            names: FATES[..2].iter().map(|&name| name.to_owned()).collect(),
            colors: COLORS[..2].to_vec(),
            values,
        };
        let nowhere = ColoredFates { names: Vec::new(), colors: Vec::new(), values: Vec::new() };
        for picture in [
            embedding(places, &numbers, ""),
            stream(places, &velocity, &numbers, &StreamStyle::default(), ""),
            contour_map(&Landscape::new(places, &vec![0.0; n]), &[], ""),
            surface(&Landscape::new(places, &vec![0.0; n]), &[], View::default(), ""),
            fate_probabilities(places, &fates(vec![0.5; 2 * n]), ""),
            fate_probabilities(places, &fates(vec![0.0; 2 * n]), ""),
            fate_probabilities(places, &nowhere, ""),
            fate_circle(&fates(vec![0.5; 2 * n]), Some(&numbers), ""),
            fate_circle(&fates(vec![f64::NAN; 2 * n]), None, ""),
            calibration(&[], ""),
        ] {
            let text = svg(&picture);
            assert!(Document::parse(&text).is_ok() && !text.contains("NaN") && !text.contains("inf"), "{text}");
            assert!(!picture.render(Format::Png).unwrap().is_empty());
        }
    }
}

struct Dots {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Dots {
    /// Fraction of pixels that are neither white nor grey.
    #[expect(clippy::cast_precision_loss, reason = "a few million dots")]
    fn colored(&self) -> f64 {
        let far = |p: &[u8]| p.iter().max().unwrap() - p.iter().min().unwrap() > 40;
        self.rgb.chunks(3).filter(|p| far(p)).count() as f64 / (self.rgb.len() / 3) as f64
    }
}

fn decode(bytes: &[u8]) -> Dots {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut buffer).unwrap();
    let channels = info.color_type.samples();
    let rgb = buffer[..info.buffer_size()].chunks(channels).flat_map(|p| [p[0], p[1], p[2]]).collect();
    Dots { width: info.width as usize, height: info.height as usize, rgb }
}

/// Asserts that at most one pixel in two hundred differs by more than an eighth of the range.
fn assert_looks_like(picture: &Picture, name: &str) {
    let bytes = picture.render(Format::Png).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures").join(format!("{name}.png"));
    if std::env::var_os("SCLSD_UPDATE_PICTURES").is_some() {
        std::fs::write(&path, &bytes).unwrap();
    }
    let (found, expected) = (decode(&bytes), decode(&std::fs::read(&path).unwrap()));
    assert_eq!((found.width, found.height), (expected.width, expected.height), "{name} has another size");
    let off = found.rgb.iter().zip(&expected.rgb).filter(|(a, b)| a.abs_diff(**b) > 32).count();
    assert!(off * 200 <= found.rgb.len(), "{name} looks otherwise: {off} of {} numbers differ", found.rgb.len());
}

#[test]
fn pictures_look_as_they_did_when_last_looked_at() {
    let arc = arc(900);
    let potential: Vec<f64> = arc.time.iter().map(|t| 3.0 - 2.0 * t + (9.0 * t).sin() / 3.0).collect();
    let landscape = Landscape::new(arc.places(), &potential);
    assert_looks_like(
        &stream(arc.places(), &arc.velocity, &arc.by_group(), &StreamStyle::default(), "stream"),
        "stream",
    );
    assert_looks_like(&surface(&landscape, &[arc.path()], View::default(), "surface"), "surface");
    assert_looks_like(&contour_map(&landscape, &[arc.path()], "contours"), "contours");
    assert_looks_like(&fate_probabilities(arc.places(), &arc.fates(2), "fates"), "fate_probabilities");
    assert_looks_like(&fate_circle(&arc.fates(3), Some(&arc.by_group()), "fates"), "fate_circle");
}
