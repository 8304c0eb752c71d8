//! Units of measurement by their symbols.

use icu::{decimal::input::Decimal, locale::Locale};
use icu_experimental::{
    dimension::units::{categorized_formatter::CategorizedFormatter, options::Width},
    measure::category::{Area, Duration, Length, Mass, Volume},
};
use serde::{Deserialize, Serialize};

use super::{
    cldr::{CldrError, missing},
    unit_data::UnitData,
};

/// A unit that the compiled locale data can name in every language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// m
    Meter,
    /// g
    Gram,
    /// kg
    Kilogram,
    /// L
    Liter,
    /// m²
    SquareMeter,
    /// m³
    CubicMeter,
    /// ms
    Millisecond,
    /// s
    Second,
    /// min
    Minute,
    /// h
    Hour,
    /// d
    Day,
}

/// A unit in terms of a smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Conversion {
    /// The larger unit.
    pub from: Unit,
    /// The smaller unit.
    pub to: Unit,
    /// How many of the smaller make one of the larger.
    pub factor: u64,
}

impl Conversion {
    /// Every pair that is asked for.
    pub const ALL: [Self; 6] = [
        Self { from: Unit::Kilogram, to: Unit::Gram, factor: 1000 },
        Self { from: Unit::CubicMeter, to: Unit::Liter, factor: 1000 },
        Self { from: Unit::Second, to: Unit::Millisecond, factor: 1000 },
        Self { from: Unit::Minute, to: Unit::Second, factor: 60 },
        Self { from: Unit::Hour, to: Unit::Minute, factor: 60 },
        Self { from: Unit::Day, to: Unit::Hour, factor: 24 },
    ];
}

/// How a unit is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnitWidth {
    /// By its name: `5 Kilogramm`.
    Name,
    /// By the language's abbreviation: `5 кг`.
    Abbreviation,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 11] = [
        Self::Meter,
        Self::Gram,
        Self::Kilogram,
        Self::Liter,
        Self::SquareMeter,
        Self::CubicMeter,
        Self::Millisecond,
        Self::Second,
        Self::Minute,
        Self::Hour,
        Self::Day,
    ];

    /// The international symbol (SI, and those in use beside it).
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Meter => "m",
            Self::Gram => "g",
            Self::Kilogram => "kg",
            Self::Liter => "L",
            Self::SquareMeter => "m²",
            Self::CubicMeter => "m³",
            Self::Millisecond => "ms",
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
            Self::Day => "d",
        }
    }
}

/// The formats of every unit, one list a width, in the order of [`Unit::ALL`].
pub(super) struct UnitFormats {
    names: Vec<UnitFormat>,
    abbreviations: Vec<UnitFormat>,
}

/// A unit's format: the data come in one type a category of units.
enum UnitFormat {
    Length(CategorizedFormatter<Length>),
    Mass(CategorizedFormatter<Mass>),
    Volume(CategorizedFormatter<Volume>),
    Area(CategorizedFormatter<Area>),
    Duration(CategorizedFormatter<Duration>),
}

impl UnitFormats {
    /// Loads both widths of every unit.
    pub(super) fn load(locale: &Locale) -> Result<Self, CldrError> {
        let load = |width| -> Result<Vec<_>, CldrError> {
            Unit::ALL.iter().map(|unit| UnitFormat::load(locale, *unit, width)).collect()
        };
        Ok(Self { names: load(Width::Long)?, abbreviations: load(Width::Short)? })
    }

    /// A number with its unit.
    pub(super) fn format(&self, number: &Decimal, unit: Unit, width: UnitWidth) -> String {
        let formats = match width {
            UnitWidth::Name => &self.names,
            UnitWidth::Abbreviation => &self.abbreviations,
        };
        match &formats[unit as usize] {
            UnitFormat::Length(format) => format.format_fixed_decimal(number).to_string(),
            UnitFormat::Mass(format) => format.format_fixed_decimal(number).to_string(),
            UnitFormat::Volume(format) => format.format_fixed_decimal(number).to_string(),
            UnitFormat::Area(format) => format.format_fixed_decimal(number).to_string(),
            UnitFormat::Duration(format) => format.format_fixed_decimal(number).to_string(),
        }
    }
}

impl UnitFormat {
    fn load(locale: &Locale, unit: Unit, width: Width) -> Result<Self, CldrError> {
        /// Loads one unit of whatever category.
        macro_rules! format_of {
            ($category:ident :: $unit:ident) => {
                CategorizedFormatter::try_new_core_unstable(&UnitData, locale.into(), $category::$unit(), width.into())
                    .map(Self::$category)
            };
        }
        let loaded = match unit {
            Unit::Meter => format_of!(Length::meter),
            Unit::Gram => format_of!(Mass::gram),
            Unit::Kilogram => format_of!(Mass::kilogram),
            Unit::Liter => format_of!(Volume::liter),
            Unit::SquareMeter => format_of!(Area::square_meter),
            Unit::CubicMeter => format_of!(Volume::cubic_meter),
            Unit::Millisecond => format_of!(Duration::millisecond),
            Unit::Second => format_of!(Duration::second),
            Unit::Minute => format_of!(Duration::minute),
            Unit::Hour => format_of!(Duration::hour),
            Unit::Day => format_of!(Duration::day),
        };
        loaded.map_err(missing("names of units", locale))
    }
}
