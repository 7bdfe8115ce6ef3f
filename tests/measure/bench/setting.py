"""What a measurement stands on: a sample of stores in one country."""

from datetime import UTC, datetime

from infra.local.config import Stack
from infra.local.sample.load import load, refresh
from infra.local.sample.places import Place, parameters_file, read_parameters, read_places

COUNTRY = "es"


def sample(stack: Stack, stores: int) -> Place:
    """Loads so many stores of the country, unless they are there. Their live view becomes the current slot's."""
    prefix = f"bench-{stores}"
    today = datetime.now(UTC).date()
    if parameters_file(stack, prefix).exists():
        held = read_parameters(stack, prefix).get(COUNTRY)
        if held and held.stores == stores and held.today == today:
            refresh(stack, prefix=prefix, at=datetime.now(UTC))
            return read_places(stack, prefix)[COUNTRY]
    return load(stack, count=stores, countries=[COUNTRY], prefix=prefix, today=today, at=datetime.now(UTC))[COUNTRY]
