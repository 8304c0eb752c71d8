//! Names of units, from all tiers of the compiled data.
//!
//! ICU4X sorts the names into three tiers, by whether a locale's customs ask for the unit, and its own lookup ends at
//! the first tier that has anything, the root's bare symbol included: American English would say `5 m` for `5 meters`,
//! which stands in the second tier. Here the root comes last.

use icu::{
    decimal::provider::{Baked as DecimalBaked, DecimalDigitsV1, DecimalSymbolsV1},
    plurals::provider::{Baked as PluralsBaked, PluralsCardinalV1},
};
use icu_experimental::{dimension::provider::units::categorized_display_names::*, provider::Baked};
use icu_provider::{DataError, DataMarker, DataProvider, DataRequest, DataResponse};

/// The compiled data with the tiers of unit names read as one.
pub(super) struct UnitData;

/// Reads three tiers of a category as its first.
macro_rules! read_as_one {
    ($($core:ident, $extended:ident, $outlier:ident;)*) => {$(
        impl DataProvider<$core> for UnitData {
            fn load(&self, request: DataRequest) -> Result<DataResponse<$core>, DataError> {
                own_before_root([
                    DataProvider::<$core>::load(&Baked, request),
                    DataProvider::<$extended>::load(&Baked, request).map(DataResponse::cast),
                    DataProvider::<$outlier>::load(&Baked, request).map(DataResponse::cast),
                ])
            }
        }
    )*};
}

read_as_one! {
    UnitsNamesAreaCoreV1, UnitsNamesAreaExtendedV1, UnitsNamesAreaOutlierV1;
    UnitsNamesDurationCoreV1, UnitsNamesDurationExtendedV1, UnitsNamesDurationOutlierV1;
    UnitsNamesLengthCoreV1, UnitsNamesLengthExtendedV1, UnitsNamesLengthOutlierV1;
    UnitsNamesMassCoreV1, UnitsNamesMassExtendedV1, UnitsNamesMassOutlierV1;
    UnitsNamesVolumeCoreV1, UnitsNamesVolumeExtendedV1, UnitsNamesVolumeOutlierV1;
}

/// Passes a request on to the compiled data of another crate.
macro_rules! pass_on {
    ($($marker:ident to $baked:expr;)*) => {$(
        impl DataProvider<$marker> for UnitData {
            fn load(&self, request: DataRequest) -> Result<DataResponse<$marker>, DataError> {
                $baked.load(request)
            }
        }
    )*};
}

pass_on! {
    DecimalSymbolsV1 to DecimalBaked;
    DecimalDigitsV1 to DecimalBaked;
    PluralsCardinalV1 to PluralsBaked;
}

/// The first tier that has the unit in the language itself, or else the first that has it at all.
fn own_before_root<M: DataMarker>(
    tiers: [Result<DataResponse<M>, DataError>; 3],
) -> Result<DataResponse<M>, DataError> {
    let is_root = |response: &DataResponse<M>| response.metadata.locale.as_ref().is_some_and(|l| l.is_unknown());
    let [first, second, third] = tiers;
    let best =
        |left: Result<DataResponse<M>, DataError>, right: Result<DataResponse<M>, DataError>| match (&left, &right) {
            (Ok(l), Ok(r)) if is_root(l) && !is_root(r) => right,
            (Err(_), Ok(_)) => right,
            _ => left,
        };
    best(best(first, second), third)
}
