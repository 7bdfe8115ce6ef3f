"""The local Superset's settings: as in production, except that it speaks plain HTTP on 127.0.0.1.

Superset reads every upper-case name. `make dashboard` writes addresses and secrets to the file that
STOREWATCH_DASHBOARD names.
"""

import json
import os
from pathlib import Path
from typing import Any

_settings = json.loads(Path(os.environ["STOREWATCH_DASHBOARD"]).read_text())

SECRET_KEY = _settings["secret_key"]
SQLALCHEMY_DATABASE_URI = _settings["metadata"]
APP_NAME = "Storewatch"
LOGO_TOOLTIP = "Storewatch"
BABEL_DEFAULT_LOCALE = "en"
# One language: a second one would need every title in it.
LANGUAGES: dict[str, Any] = {}

# Nothing leaves the machine: no telemetry, no tiles, no fonts, no avatars. The browser enforces it (CSP).
SCARF_ANALYTICS = False
THEME_FONT_URL_ALLOWED_DOMAINS: list[str] = []
# The pages need one entry. The browser is not let to it.
DECKGL_BASE_MAP = [["tile://http://127.0.0.1/{z}/{x}/{y}.png", "None"]]
TALISMAN_ENABLED = True
TALISMAN_CONFIG = {
    "content_security_policy": {
        "base-uri": ["'self'"],
        "default-src": ["'self'"],
        "connect-src": ["'self'"],
        "font-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],
        "object-src": "'none'",
        "script-src": ["'self'", "'strict-dynamic'"],
        # Superset's own styles are written into the page.
        "style-src": ["'self'", "'unsafe-inline'"],
        "worker-src": ["'self'", "blob:"],
    },
    "content_security_policy_nonce_in": ["script-src"],
    # There is no TLS on loopback. Behind a proxy with TLS, set both to True.
    "force_https": False,
    "session_cookie_secure": False,
}
WTF_CSRF_ENABLED = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
RATELIMIT_ENABLED = True
# A dashboard loads some forty files at once, and on this machine all viewers share an address.
RATELIMIT_APPLICATION = "500 per second"
RATELIMIT_STORAGE_URI = _settings["redis"] + "/3"
AUTH_RATE_LIMITED = True
AUTH_RATE_LIMIT = "30 per minute"
AUTH_USER_REGISTRATION = False
PUBLIC_ROLE_LIKE = None

FEATURE_FLAGS = {
    # A dashboard is seen by the roles that it names.
    "DASHBOARD_RBAC": True,
    # Datasets write `day between …` from the time range.
    "ENABLE_TEMPLATE_PROCESSING": True,
    # Without it, SQL Lab shows rows that row-level security hides.
    "RLS_IN_SQLLAB": True,
    "ALLOW_ADHOC_SUBQUERY": False,
    "EMBEDDABLE_CHARTS": False,
}
# Okabe and Ito's colours, which the colour-blind can tell apart.
EXTRA_CATEGORICAL_COLOR_SCHEMES = [
    {
        "id": "okabeIto",
        "label": "Okabe and Ito",
        "description": "Colours that the colour-blind can tell apart",
        "isDefault": True,
        "colors": ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000"],
    }
]
# The default, "force", has each viewer's refresh ask the engine again.
DASHBOARD_AUTO_REFRESH_MODE = "fetch"
DASHBOARD_AUTO_REFRESH_INTERVALS = [[0, "Don't refresh"], [60, "1 minute"], [300, "5 minutes"], [900, "15 minutes"]]
SUPERSET_DASHBOARD_PERIODICAL_REFRESH_LIMIT = 60
SUPERSET_WEBSERVER_TIMEOUT = 120
ROW_LIMIT = 10_000
SQL_MAX_ROW = 100_000


def _redis(database: int, prefix: str, seconds: int) -> dict[str, Any]:
    return {
        "CACHE_TYPE": "RedisCache",
        "CACHE_REDIS_URL": f"{_settings['redis']}/{database}",
        "CACHE_KEY_PREFIX": prefix,
        "CACHE_DEFAULT_TIMEOUT": seconds,
    }


CACHE_CONFIG = _redis(0, "metadata-", 300)
DATA_CACHE_CONFIG = _redis(0, "data-", 900) | {
    "CACHE_TYPE": "infra.dashboard.server.slot_cache.SlotCache",
    # A tick's rows are there this long after its slot begins.
    "SETTLE_SECONDS": _settings["settle_seconds"],
}
FILTER_STATE_CACHE_CONFIG = _redis(0, "filters-", 90 * 86_400)
EXPLORE_FORM_DATA_CACHE_CONFIG = _redis(0, "explore-", 7 * 86_400)
