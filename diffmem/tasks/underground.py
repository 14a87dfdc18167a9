"""The London Underground in zone 1, between the stations where one changes lines: a graph that no training sees.

    EDGES, 106 of them      ("Bond Street", "Central eastbound", "Oxford Circus"),
                            ("Oxford Circus", "Central westbound", "Bond Street"), ...

Every link is two edges, one each way, and the direction is part of an edge's label: an edge label leads from a station to one
station only. Stations with a single line are passed through. The District, Hammersmith & City and Metropolitan lines share
the Circle's tracks here, and are left out; the Northern line's two branches are lines of their own, and Bank stands for Bank
and Monument, which are one station.

Source: the map of the network, as of 2024. Graves et al. 2016, figure 2, use a smaller graph, of 84 edges.
"""

from itertools import pairwise

LINES = {
    "Bakerloo": (
        ("southbound", "northbound"),
        "Paddington, Edgware Road (Bakerloo), Marylebone, Baker Street, Regent's Park, Oxford Circus, Piccadilly Circus, "
        "Charing Cross, Embankment, Waterloo, Lambeth North, Elephant & Castle",
    ),
    "Central": (
        ("eastbound", "westbound"),
        "Notting Hill Gate, Queensway, Lancaster Gate, Marble Arch, Bond Street, Oxford Circus, Tottenham Court Road, Holborn, "
        "Chancery Lane, St Paul's, Bank, Liverpool Street",
    ),
    "Circle": (
        ("clockwise", "anticlockwise"),
        "Paddington, Edgware Road (Circle), Baker Street, Great Portland Street, Euston Square, King's Cross St Pancras, "
        "Farringdon, Barbican, Moorgate, Liverpool Street, Aldgate, Tower Hill, Bank, Cannon Street, Mansion House, "
        "Blackfriars, Temple, Embankment, Westminster, St James's Park, Victoria, Sloane Square, South Kensington, "
        "Gloucester Road, High Street Kensington, Notting Hill Gate, Bayswater, Paddington",
    ),
    "Jubilee": (
        ("southbound", "northbound"),
        "Baker Street, Bond Street, Green Park, Westminster, Waterloo, Southwark, London Bridge",
    ),
    "Northern (Bank)": (
        ("southbound", "northbound"),
        "Euston, King's Cross St Pancras, Angel, Old Street, Moorgate, Bank, London Bridge, Borough, Elephant & Castle",
    ),
    "Northern (Charing Cross)": (
        ("southbound", "northbound"),
        "Euston, Warren Street, Goodge Street, Tottenham Court Road, Leicester Square, Charing Cross, Embankment, Waterloo",
    ),
    "Piccadilly": (
        ("eastbound", "westbound"),
        "Gloucester Road, South Kensington, Knightsbridge, Hyde Park Corner, Green Park, Piccadilly Circus, Leicester Square, "
        "Covent Garden, Holborn, Russell Square, King's Cross St Pancras",
    ),
    "Victoria": (
        ("northbound", "southbound"),
        "Pimlico, Victoria, Green Park, Oxford Circus, Warren Street, Euston, King's Cross St Pancras",
    ),
    "Waterloo & City": (("eastbound", "westbound"), "Waterloo, Bank"),
}
STATIONS = {line: tuple(names.split(", ")) for line, (_, names) in LINES.items()}


def interchanges() -> tuple[str, ...]:
    """The stations that two of the lines call at, in the order of their names."""
    calls = [name for stations in STATIONS.values() for name in set(stations)]
    return tuple(sorted({name for name in calls if calls.count(name) > 1}))


def edges() -> tuple[tuple[str, str, str], ...]:
    """(station, line and direction, next interchange), both ways along every line."""
    stops = interchanges()
    found = []
    for line, (directions, _) in LINES.items():
        stations = [name for name in STATIONS[line] if name in stops]
        for ahead, order in zip(directions, (stations, stations[::-1]), strict=True):
            found += [(here, f"{line} {ahead}", there) for here, there in pairwise(order)]
    return tuple(found)


EDGES = edges()
