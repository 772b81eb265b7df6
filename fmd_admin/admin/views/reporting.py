"""The page Reporting: two intervals compared, endpoint by endpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Response, abort, flash, request, url_for
from flask_admin import expose
from sqlalchemy import Connection

from ...errors import ScopeError
from ...read import catalog, comparison, intervals
from ...read.catalog import VersionInfo
from ...read.intervals import Intervals, parse_intervals
from ...read.reporting import GROUPS, Report, Row, report
from ...read.scope import Scope
from ...read.sentences import stake_text
from .. import charts, csv
from ..scope_bar import Choice
from .pages import ENDPOINT_TABS, Chart, Page, range_suffix

#: Versions that are rarely newer than a week are compared over the longest of the named ranges.
VERSION_RANGE = "30d"
#: Groups that are shown folded: there is mostly nothing to do about them.
FOLDED = ("busier", "quieter", "too_little", "unchanged")
#: Endpoints that the chart shows.
MOST_DRAWN = 40
#: How a group's tile and badge are coloured.
TONES = {"slower": "bad", "more_errors": "bad", "faster": "ok", "fewer_errors": "ok"}


@dataclass(frozen=True, slots=True)
class Reported:
    """One read of the page. ``scope`` is what the URL says about range and versions.

    ``refused`` is whether the URL's intervals could not be used, and others are shown.
    """

    scope: Scope
    versions: list[VersionInfo]
    report: Report
    refused: bool


@dataclass(frozen=True, slots=True)
class Links:
    """The addresses of one endpoint: its pages, and its requests in each interval if it has any."""

    pages: str
    before: str | None
    after: str | None


class ReportingPage(Page):
    """What got slower or faster, and fails more or less often, between two intervals."""

    def __init__(self) -> None:
        super().__init__("Reporting", "reporting")

    @expose("/reporting")
    def index(self) -> str:
        """Show the page."""
        with self.panel.store.read() as connection:
            found = self._read(connection, strict=False)
            result = found.report
            drawn = _drawn(result)
            return self.page(
                "fmd_admin/reporting.html",
                connection,
                found.scope,
                self.name,
                report=result,
                titles=GROUPS,
                tones=TONES,
                folded=FOLDED,
                stake=stake_text,
                limits=comparison,
                links={row.endpoint_id: _links(result.intervals, row) for row in result.rows},
                sides=_sides(result),
                compares=_compares(found),
                version_choices=[version.name for version in reversed(found.versions)],
                keep=_keep(),
                # What was refused stays in the form, to be mended there.
                typed=request.args if found.refused else {},
                row_links=[_links(result.intervals, row).pages for row in result.rows],
                chart=self._chart(found, drawn) if drawn else None,
                drawn=len(drawn),
                most_drawn=MOST_DRAWN,
                csv_url=_address("reporting.data_csv", found),
                chart_scripts=charts.scripts(self.panel.config.values, ("chart.js",)),
            )

    @expose("/reporting/data.json")
    def data_json(self) -> dict[str, Any]:
        """Return the report: the intervals, and what was found for each endpoint."""
        with self.panel.store.read() as connection:
            return _as_json(self._read(connection, strict=True).report)

    @expose("/reporting/data.csv")
    def data_csv(self) -> Response:
        """Return the table as CSV."""
        with self.panel.store.read() as connection:
            found = self._read(connection, strict=True).report
        both = found.intervals.before, found.intervals.after
        return csv.from_table(found.table(), "--to--".join(map(range_suffix, both)))

    def _read(self, connection: Connection, *, strict: bool) -> Reported:
        """Read the report. What is not understood is said, or ends the request if ``strict``."""
        compares_versions = request.args.get("compare") == "version"
        scope = self.scope(
            connection, strict=strict, default_range=VERSION_RANGE if compares_versions else None
        )
        versions = catalog.versions(connection)
        try:
            asked, refused = parse_intervals(request.args, scope, versions), False
        except ScopeError as error:
            if strict:
                abort(400, str(error))
            flash(str(error), "error")
            asked, refused = _without_details(scope, versions), True
        return Reported(scope, versions, report(connection, asked), refused)

    def _chart(self, found: Reported, drawn: list[Row]) -> Chart:
        result = found.report
        names = f"{result.intervals.before_name} and {result.intervals.after_name}"
        number = min(len(drawn), MOST_DRAWN)
        noun = "endpoint" if number == 1 else "endpoints"
        return Chart(
            kind="dumbbell",
            label=f"Median durations of {number} {noun}, before and after: {names}.",
            data_url=_address("reporting.data_json", found),
            csv_url=_address("reporting.data_csv", found),
            table=result.table(),
        )


def _without_details(scope: Scope, versions: list[VersionInfo]) -> Intervals:
    """Return the intervals where the URL's cannot be used: the same kind, if that is possible."""
    try:
        return parse_intervals({"compare": request.args.get("compare", "")}, scope, versions)
    except ScopeError:
        return parse_intervals({}, scope, versions)


def _keep() -> list[tuple[str, str]]:
    """Return the words of the URL that a change of the intervals leaves as they are."""
    left_out = {*intervals.WORDS, "page"}
    return [pair for pair in request.args.items(multi=True) if pair[0] not in left_out]


def _compares(found: Reported) -> list[Choice]:
    """Return the links to the kinds of comparison, versions only if there are two."""
    shown = found.report.intervals.compare
    kinds = [kind for kind in intervals.COMPARES if kind != "version" or len(found.versions) > 1]
    return [
        Choice(
            intervals.COMPARES[kind],
            f"{url_for('reporting.index')}?{urlencode([('compare', kind), *_keep()])}",
            kind == shown,
        )
        for kind in kinds
    ]


def _address(view: str, found: Reported) -> str:
    """Return the address of another form of what is shown, which may not be what was asked for."""
    pairs = [*found.report.intervals.to_query(), *found.scope.to_query()]
    return f"{url_for(view)}?{urlencode(pairs)}"


def _requests_url(side: Scope, endpoint: str | None = None) -> str:
    """Return the list of the requests of one interval."""
    more = [("endpoint", endpoint)] if endpoint else []
    return f"{url_for('requests.index_view')}?{urlencode([*side.to_query(), *more])}"


def _links(asked: Intervals, row: Row) -> Links:
    """An endpoint that is gone is shown as it was before, any other as it is now."""
    figures = row.comparison
    shown = asked.after if figures.after.hits else asked.before
    pages = url_for(ENDPOINT_TABS[0].view, endpoint_id=row.endpoint_id)
    return Links(
        pages=f"{pages}?{urlencode(shown.to_query())}",
        before=_requests_url(asked.before, row.name) if figures.before.hits else None,
        after=_requests_url(asked.after, row.name) if figures.after.hits else None,
    )


def _sides(result: Report) -> list[dict[str, Any]]:
    """Return what the page says about each interval as a whole."""
    asked = result.intervals
    return [
        {"name": name, "label": side.label, "hits": hits, "url": _requests_url(side)}
        for name, side, hits in zip(
            (asked.before_name, asked.after_name),
            (asked.before, asked.after),
            result.hits,
            strict=True,
        )
    ]


def _drawn(result: Report) -> list[Row]:
    """Return the rows with enough requests on both sides; the chart shows the first of them."""
    return [row for row in result.rows if min(_hits(row)) >= comparison.MIN_HITS]


def _hits(row: Row) -> tuple[int, int]:
    return row.comparison.before.hits, row.comparison.after.hits


def _as_json(result: Report) -> dict[str, Any]:
    asked = result.intervals
    drawn = {row.endpoint_id for row in _drawn(result)[:MOST_DRAWN]}
    return {
        "compare": asked.compare,
        "timezone": str(asked.after.zone),
        "intervals": [
            {"name": side["name"], "label": side["label"], "hits": side["hits"]}
            | {"from_ms": scope.start_ms, "to_ms": scope.end_ms, "versions": scope.versions}
            for side, scope in zip(_sides(result), (asked.before, asked.after), strict=True)
        ],
        "endpoints": [
            {
                "name": row.name,
                "url": _links(asked, row).pages,
                "drawn": row.endpoint_id in drawn,
                "verdicts": [
                    {"kind": said.kind, "sentence": f"{row.name} {said.text}"} for said in row.said
                ],
                "before": dataclasses.asdict(row.comparison.before),
                "after": dataclasses.asdict(row.comparison.after),
                "tests": {
                    name: None if test is None else {"p": test.p, "corrected_p": test.corrected}
                    for name, test in (
                        ("times", row.comparison.times),
                        ("p95", row.comparison.tail),
                        ("errors", row.comparison.errors),
                    )
                },
                "stake_ms": row.comparison.stake_ms,
            }
            for row in result.rows
        ],
    }
