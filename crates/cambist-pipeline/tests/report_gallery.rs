//! A page with every component of the report and text in many scripts.
//!
//! The pages are left as `report_gallery.html` and `report_hardship.html` in cargo's folder for test output; `tests/browser/report.py` opens them.

use std::collections::BTreeSet;
use std::path::Path;

use cambist_core::language::Language;
use cambist_pipeline::report::{
    Answer, Arrangement, Axis, BarRow, Bars, Block, Cell, Column, Curve, Direction, Estimate, Example, Fact, Finding,
    Forest, ForestRow, Heat, HeatRow, Line, Origin, Page, Plot, Point, Row, Scatter, Section, Style, Table, Verdict,
    Words,
};

const LANGUAGES: [(&str, &str); 10] = [
    ("ar", "العربية"),
    ("de", "Deutsch"),
    ("en", "English"),
    ("es", "Español"),
    ("he", "עברית"),
    ("ja", "日本語"),
    ("ru", "Русский"),
    ("tr", "Türkçe"),
    ("uk", "Українська"),
    ("zh", "中文"),
];
const TEACHERS: [&str; 5] = ["multilingual", "germanic-romance", "slavic", "east-asian", "arabic-hebrew"];
const STRATEGIES: [&str; 3] = ["fixed", "reward", "random"];

fn words(text: &str, tag: &str) -> Words {
    Words { text: text.to_owned(), language: Language::parse(tag).ok() }
}

/// A number between 0 and 1 that looks like noise and is the same every time.
fn noise(a: usize, b: usize) -> f64 {
    let mixed = (a as u64 * 0x9e37_79b9 + b as u64 * 0x85eb_ca6b + 0x27d4_eb2f).wrapping_mul(0x2545_f491_4f6c_dd1d);
    ((mixed >> 33) % 1000) as f64 / 1000.0
}

fn estimate(value: f64, half: f64, n: u64) -> Option<Estimate> {
    Some(Estimate { value, interval: Some([value - half, value + half]), n })
}

fn origin() -> Origin {
    Origin {
        n: "120 held-out prompts per language".to_owned(),
        interval: "95 % bootstrap, clustered by source prompt, 2000 resamples".to_owned(),
        seeds: vec![1, 2, 3],
        task: "polyglot 1".to_owned(),
        artifacts: vec!["evaluate-5d0f3a91c2".to_owned()],
    }
}

fn figure(plot: Plot, caption: &str) -> Block {
    Block::Figure { plot, caption: caption.to_owned(), origin: origin() }
}

fn forest() -> Plot {
    let row = |(idx, (tag, name)): (usize, &(&str, &str))| {
        let gain = |series: usize| estimate(9.0 * noise(idx, series) - 2.0 - 2.0 * series as f64 + 3.0, 2.4, 120);
        let mut estimates: Vec<_> = (0..STRATEGIES.len()).map(gain).collect();
        if *tag == "he" {
            estimates[0] = None;
        }
        ForestRow { label: words(name, tag), estimates, summary: false }
    };
    let mut rows: Vec<_> = LANGUAGES.iter().enumerate().map(row).collect();
    let all = [2.9, 4.6, -2.3].map(|value| estimate(value, 0.9, 1200));
    rows.push(ForestRow { label: "all languages".into(), estimates: all.to_vec(), summary: true });
    let axis = Axis::linear("gain over the best single teacher’s student, points", Direction::HigherIsBetter);
    let series = STRATEGIES.map(str::to_owned).to_vec();
    Plot::Forest(Forest { axis, style: Style::signed(1), reference: 0.0, series, rows })
}

fn heat() -> Plot {
    let value = |idx: usize, teacher: usize| (noise(idx, teacher + 7) > 0.2).then(|| 100.0 * noise(teacher, idx + 40));
    let row = |(idx, (tag, name)): (usize, &(&str, &str))| HeatRow {
        label: words(name, tag),
        values: (0..TEACHERS.len()).map(|teacher| value(idx, teacher)).collect(),
    };
    Plot::Heat(Heat {
        title: "accuracy of each teacher, %".to_owned(),
        style: Style::plain(1),
        direction: Direction::HigherIsBetter,
        columns: TEACHERS.map(str::to_owned).to_vec(),
        rows: LANGUAGES.iter().enumerate().map(row).collect(),
    })
}

fn bars(arrangement: Arrangement) -> Plot {
    let n_rows = if arrangement == Arrangement::Shares { LANGUAGES.len() } else { 3 };
    let row = |(idx, (tag, name)): (usize, &(&str, &str))| BarRow {
        label: words(name, tag),
        values: (0..TEACHERS.len()).map(|t| Some((90.0 * noise(idx, t + 3).powi(2)).round())).collect(),
    };
    let title = if arrangement == Arrangement::Shares { "share of kept answers, %" } else { "reward, points" };
    Plot::Bars(Bars {
        axis: Axis::linear(title, Direction::Neutral),
        style: Style::plain(0),
        arrangement,
        series: TEACHERS.map(str::to_owned).to_vec(),
        rows: LANGUAGES.iter().take(n_rows).enumerate().map(row).collect(),
    })
}

fn curve() -> Plot {
    let line = |(idx, name): (usize, &&str)| {
        let loss = |step: usize| 1.1 + 0.15 * idx as f64 + 6.0 / (1.0 + step as f64 / 40.0) + 0.06 * noise(step, idx);
        Line { name: (*name).to_owned(), points: (0..900).map(|step| [step as f64, loss(step)]).collect() }
    };
    Plot::Curve(Curve {
        x: Axis::linear("step", Direction::Neutral),
        y: Axis::log("training loss, nats per token", Direction::LowerIsBetter),
        style: Style::plain(3),
        lines: TEACHERS.iter().enumerate().map(line).collect(),
    })
}

fn scatter() -> Plot {
    let points = [
        ("single, best teacher", 1.0, 46.0),
        ("single, best of 5", 5.0, 51.5),
        ("random", 1.0, 38.2),
        ("fixed", 1.1, 52.0),
        ("reward", 5.0, 57.4),
        ("learned", 1.2, 54.9),
        ("oracle", 5.0, 61.3),
    ];
    let point = |(name, x, y): &(&str, f64, f64)| Point {
        name: (*name).to_owned(),
        x: *x,
        y: Estimate { value: *y, interval: Some([y - 1.6, y + 1.6]), n: 1200 },
    };
    Plot::Scatter(Scatter {
        x: Axis::log("calls per prompt", Direction::LowerIsBetter),
        y: Axis::linear("accuracy of the kept answers, %", Direction::HigherIsBetter),
        x_style: Style::plain(1),
        y_style: Style::plain(1),
        points: points.iter().map(point).collect(),
    })
}

fn results_table() -> Table {
    let accuracy = |title: &str| Column::numbers(title, "%", Style::plain(1)).directed(Direction::HigherIsBetter);
    let row = |(idx, (tag, name)): (usize, &(&str, &str))| {
        let value = 30.0 + 50.0 * noise(idx, 1);
        Row::new(vec![
            words(name, tag).into(),
            Cell::Count(120),
            estimate(value, 4.0, 120).into(),
            if *tag == "he" {
                Cell::Missing("no teacher covers it".to_owned())
            } else {
                estimate(value + 4.0, 4.1, 120).into()
            },
            Cell::Share(noise(idx, 9)),
            Cell::Number(8.0 * noise(idx, 5) - 4.0),
        ])
    };
    let mut rows: Vec<Row> = LANGUAGES.iter().enumerate().map(row).collect();
    let all = vec![
        Words::from("all languages").into(),
        Cell::Count(12_000),
        estimate(52.8, 1.3, 1200).into(),
        estimate(57.4, 1.2, 1200).into(),
        Cell::Share(0.43),
        Cell::Number(4.6),
    ];
    rows.push(Row { cells: all, summary: true });
    Table {
        caption: "Accuracy of the students on held-out prompts; the shares are of kept answers that came from the \
                  multilingual teacher."
            .to_owned(),
        columns: vec![
            Column::words("Language"),
            Column::numbers("n", "", Style::plain(0)),
            accuracy("Best single"),
            accuracy("Reward-based"),
            Column::numbers("Multilingual’s share", "", Style::plain(1)),
            Column::numbers("Gain", "points", Style::signed(1)).directed(Direction::HigherIsBetter),
        ],
        rows,
    }
}

fn failures_table(rows: Vec<Row>) -> Table {
    Table {
        caption: "What failed or was left out, and why.".to_owned(),
        columns: vec![
            Column::words("What"),
            Column::words("Artifact"),
            Column::words("Where it is described"),
            Column::numbers("Rows", "", Style::plain(0)).directed(Direction::LowerIsBetter),
        ],
        rows,
    }
}

fn failures() -> Vec<Row> {
    let row = |what: &str, rows: u64| {
        Row::new(vec![
            Words::from(what).into(),
            Cell::Id("generate-0c9d21aa47".to_owned()),
            Cell::Link { text: "user guide".to_owned(), address: "#provenance".to_owned() },
            Cell::Count(rows),
        ])
    };
    vec![row("answer in another language", 412), row("cut at the token limit", 77), row("repeats itself", 9)]
}

fn answer(teacher: &str, text: Words, verdict: Verdict) -> Answer {
    let is_right = verdict == Verdict::Right;
    let reward = match verdict {
        Verdict::Right => Some(1.0),
        Verdict::Wrong => Some(0.0),
        Verdict::Unknown => None,
    };
    let note = if is_right { "" } else { "left out: reward below the best" }.to_owned();
    Answer { teacher: teacher.to_owned(), text, reward, verdict, kept: Some(is_right), note }
}

fn examples() -> Vec<Example> {
    let example = |id: &str, tag: &str, texts: [&str; 5]| Example {
        prompt_id: format!("{tag}-{id}"),
        prompt: words(texts[0], tag),
        reference: Some(words(texts[1], tag)),
        answers: vec![
            answer(TEACHERS[0], words(texts[2], tag), Verdict::Wrong),
            answer(TEACHERS[3], words(texts[3], tag), Verdict::Right),
            answer(TEACHERS[4], words(texts[4], tag), Verdict::Unknown),
        ],
    };
    let long = "一つの長い答え。".repeat(120);
    vec![
        example(
            "date-0017",
            "ar",
            [
                "اكتب التاريخ 2024-03-15 بالصيغة الكاملة، مثل «الأحد، 1 يناير 2023».",
                "الجمعة، 15 مارس 2024",
                "15 March 2024",
                "الجمعة، 15 مارس 2024",
                "",
            ],
        ),
        example(
            "price-0103",
            "he",
            [
                "כמה הם 1,234.5 שקלים בכתיב מקומי?",
                "\u{200f}1,234.50 \u{200f}₪",
                "1.234,50 ₪",
                "\u{200f}1,234.50 \u{200f}₪",
                "NIS 1,234.50",
            ],
        ),
        example(
            "list-0042",
            "ja",
            ["「赤」「青」「緑」を文として並べてください。", "赤、青、緑", "赤と青と緑", "赤、青、緑", &long],
        ),
        example(
            "plural-0009",
            "ru",
            [
                "Сколько будет 21 + 1 яблоко?\n  Ответьте словами.",
                "двадцать два яблока",
                "22 яблок",
                "двадцать два яблока",
                "двадцать  два\n\tяблоки",
            ],
        ),
        example(
            "money-0077",
            "zh",
            [
                "请写出 ¥12,345.60 的大写金额。",
                "壹万贰仟叁佰肆拾伍元陆角整",
                "12345.6 元",
                "壹万贰仟叁佰肆拾伍元陆角整",
                "一万二千",
            ],
        ),
        example(
            "hostile-0001",
            "en",
            [
                "Say <b>nothing</b> & \"leave\" 'it'.",
                "nothing",
                "</div><script>document.title = 'broken'</script>]]>",
                "nothing",
                "user\u{202e}txt.exe\u{202c} and \u{2066}isolated\u{2069}, NUL \0, bell \u{7}",
            ],
        ),
    ]
}

fn sections() -> Vec<Section> {
    let section = |title: &str, blocks: Vec<Block>| Section { title: title.to_owned(), blocks };
    let table = |table: Table| Block::Table { table, origin: origin() };
    vec![
        section("Students", vec![
            Block::Paragraph("Every student starts from the same weights and sees as many prompts; only the teachers behind its answers differ.".into()),
            figure(forest(), "Gain of each strategy’s student over the student of the best single teacher, in points of accuracy with 95 % intervals. Right of the line is better."),
            table(results_table()),
            figure(scatter(), "What each strategy paid and what it got. The dashed line joins the strategies that no other beats on both axes."),
        ]),
        section("Teachers", vec![
            figure(heat(), "Accuracy of each teacher in each language on the calibration split."),
            figure(bars(Arrangement::Shares), "Whose answers were kept, by language."),
            Block::Heading("Rewards".to_owned()),
            figure(bars(Arrangement::Grouped), "Mean reward by teacher in three languages."),
        ]),
        section("Training", vec![figure(curve(), "Loss of the teachers in pre-training.")]),
        section("Examples", vec![Block::Examples { examples: examples(), origin: origin() }]),
        section("Failures and exclusions", vec![table(failures_table(failures())), table(failures_table(vec![]))]),
    ]
}

fn gallery() -> Page {
    let finding = |label: &str, estimate: Option<Estimate>, style: Style, unit: &str| Finding {
        label: label.to_owned(),
        estimate,
        style,
        unit: unit.to_owned(),
        direction: Direction::HigherIsBetter,
        beside: "+9.1\u{202f}% relative".to_owned(),
        origin: Origin { n: String::new(), ..origin() },
    };
    let fact = |name: &str, value: Cell| Fact { name: name.to_owned(), value };
    Page {
        title: "Arbitrage among five teachers in ten languages".to_owned(),
        subtitle: "Does a student learn more from the best answer of a pool than from the best single teacher?".to_owned(),
        summary: vec![
            "Reward-based arbitrage’s student beats the best single teacher’s student by 4.6 points of accuracy over all languages; in three of ten the interval includes zero.".into(),
        ],
        findings: vec![
            finding("Reward-based over best single", estimate(4.6, 0.9, 1200), Style::signed(1), "points"),
            finding("Fixed over best single", estimate(2.9, 0.9, 1200), Style::signed(1), "points"),
            finding("Random over best single", estimate(-2.3, 0.9, 1200), Style::signed(1), "points"),
        ],
        sections: sections(),
        provenance: vec![
            fact("Recipe", Cell::Id("recipes/arbitrage.yaml".to_owned())),
            fact("Report", Cell::Id("report-91be02c4f7".to_owned())),
            fact("Wall time", Cell::Words("7 min 12 s on 2 cores".into())),
        ],
    }
}

/// The same kinds of plots where they are hardest to draw: many and long names, one row, no rows, nothing finite,
/// sizes far apart.
fn hardship() -> Page {
    let names =
        |n: usize| (0..n).map(|idx| format!("organisation-{idx}/a-model-with-a-long-name-{idx}b-instruct")).collect();
    let all: Vec<Plot> = [(23, 12), (1, 1), (0, 0), (0, 5), (3, 0)]
        .into_iter()
        .flat_map(|(n_rows, n_series)| {
            let label = |row: usize| match row % 3 {
                0 => words("日本語とその方言についての長い名前", "ja"),
                1 => words("العربية الفصحى الحديثة والقديمة", "ar"),
                _ => words("a language with a very long English name", "en"),
            };
            let value = |row: usize, series: usize| match (row + series) % 7 {
                0 => f64::NAN,
                1 => -1e7 * noise(row, series),
                2 => 1e12,
                _ => 1e-3 * noise(row, series),
            };
            let values = |row: usize| (0..n_series).map(|series| Some(value(row, series))).collect::<Vec<_>>();
            let estimates = |row: usize| (0..n_series).map(|series| estimate(value(row, series), 1e6, 9)).collect();
            let axis = |title: &str| Axis::linear(title, Direction::LowerIsBetter);
            let long = "a quantity whose name is far longer than any axis of a narrow screen, in units per something";
            let bars = |arrangement| {
                let rows = (0..n_rows).map(|row| BarRow { label: label(row), values: values(row) }).collect();
                Plot::Bars(Bars {
                    axis: axis(long),
                    style: Style::plain(1),
                    arrangement,
                    series: names(n_series),
                    rows,
                })
            };
            let point = |n: usize| Point {
                name: format!("strategy number {n}"),
                x: 10.0 + noise(n, 1),
                y: Estimate { value: 50.0 + noise(n, 2), interval: Some([49.0, 52.0]), n: 5 },
            };
            let line = |n: usize| Line {
                name: format!("organisation-{n}/a-model-with-a-long-name"),
                points: (1..50).map(|x| [f64::from(x), 2.0 + 1.0 / f64::from(x)]).collect(),
            };
            [
                Plot::Forest(Forest {
                    axis: axis(long),
                    style: Style::signed(2),
                    reference: 0.0,
                    series: names(n_series),
                    rows: (0..n_rows)
                        .map(|row| ForestRow { label: label(row), estimates: estimates(row), summary: false })
                        .collect(),
                }),
                Plot::Heat(Heat {
                    title: long.to_owned(),
                    style: Style::plain(3),
                    direction: Direction::LowerIsBetter,
                    columns: names(n_series),
                    rows: (0..n_rows).map(|row| HeatRow { label: label(row), values: values(row) }).collect(),
                }),
                bars(Arrangement::Shares),
                bars(Arrangement::Grouped),
                Plot::Curve(Curve {
                    x: axis(long),
                    y: Axis::log(long, Direction::LowerIsBetter),
                    style: Style::plain(3),
                    lines: (0..n_series).map(line).collect(),
                }),
                Plot::Scatter(Scatter {
                    x: axis(long),
                    y: axis(long),
                    x_style: Style::plain(1),
                    y_style: Style::plain(1),
                    points: (0..n_series).map(point).collect(),
                }),
            ]
        })
        .collect();
    let blocks = all.into_iter().map(|plot| figure(plot, "A hard one.")).collect();
    Page { sections: vec![Section { title: "Hardship".to_owned(), blocks }], ..gallery() }
}

/// Returns the values of an attribute, in the order of the page.
fn attribute<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let open = format!(" {name}=\"");
    html.split(&open).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn the_gallery_holds_together() {
    let html = gallery().html();
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("report_gallery.html"), &html).unwrap();

    let ids = attribute(&html, "id");
    let known: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(known.len(), ids.len(), "every id is there once");
    let named = attribute(&html, "aria-labelledby").into_iter().flat_map(str::split_whitespace);
    let linked = attribute(&html, "href").into_iter().filter_map(|address| address.strip_prefix('#'));
    for id in named.chain(linked) {
        assert!(known.contains(id), "`{id}` is referred to and not there");
    }
    assert!(!html.contains("NaN") && !html.contains(">inf"), "what is not finite is said in words");
    assert_eq!(html.matches("<script>").count(), 1, "the hostile one is text");
    assert!(html.contains(r#"lang="ar" dir="rtl""#) && html.contains(r#"lang="ja""#));
    assert!(html.len() < 400_000, "a report is a small file: {} bytes", html.len());
}

#[test]
fn the_same_page_gives_the_same_bytes_and_json() {
    assert_eq!(gallery().html(), gallery().html());
    let json = serde_json::to_value(gallery()).unwrap();
    assert_eq!(json["findings"][0]["estimate"]["n"], 1200);
}

#[test]
fn hard_plots_are_drawn_too() {
    let html = hardship().html();
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("report_hardship.html"), &html).unwrap();
    assert!(!html.contains("NaN") && !html.contains("inf\""), "no coordinate is without a value");
    assert_eq!((html.matches("<svg").count(), html.matches("nothing to draw").count()), (2 * 14, 16));
}

#[test]
fn tags_are_closed_in_order() {
    let html = gallery().html();
    let body = html.split("<body>").nth(1).unwrap().split("<script>").next().unwrap();
    let mut open: Vec<&str> = Vec::new();
    for tag in body.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap();
        match tag {
            _ if name == "input" || tag.ends_with('/') => {}
            _ if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "closing `{tag}`"),
            _ => open.push(name),
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}
