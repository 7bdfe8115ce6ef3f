"""The local Superset's settings: as in production, except that it speaks plain HTTP on 127.0.0.1.

Superset reads every upper-case name. `make dashboard` writes addresses and secrets to the file that
STOREWATCH_DASHBOARD names.
"""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery.schedules import crontab

from infra.dashboard.server import limits, smtp

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
    # Without a mail host nobody is offered what would never be sent.
    "ALERT_REPORTS": bool(_settings["smtp"]),
    # An alert is a text with a link. A picture would come later, and if it failed nothing would come.
    "ALERTS_ATTACH_REPORTS": False,
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
DB_CONNECTION_MUTATOR = limits.by_source
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

# The worker: alerts, reports, and the daily export of what users made.
# A minute that no worker has taken after ten is left out, so that old mails do not come all at once. Superset tells the
# minute from this and from the task's end, so both must have it.
CELERY_BEAT_SCHEDULER_EXPIRES = timedelta(minutes=10)
CELERY_CONFIG: dict[str, Any] = {
    "broker_url": _settings["redis"] + "/1",
    "result_backend": _settings["redis"] + "/2",
    "broker_connection_retry_on_startup": True,
    "imports": ("superset.sql_lab", "superset.tasks.scheduler", "infra.dashboard.server.worker"),
    "worker_prefetch_multiplier": 1,
    "beat_schedule": {},
}
if os.environ.get("STOREWATCH_EXPORTS"):
    CELERY_CONFIG["beat_schedule"]["storewatch.export"] = {
        "task": "storewatch.export",
        "schedule": crontab(minute="50", hour="2"),
    }
if _settings["smtp"]:
    globals().update(smtp.settings(_settings["smtp"]))
    CELERY_CONFIG["beat_schedule"] |= {
        "reports.scheduler": {
            "task": "reports.scheduler",
            "schedule": crontab(),
            "options": {"expires": CELERY_BEAT_SCHEDULER_EXPIRES.total_seconds()},
        },
        "reports.prune_log": {"task": "reports.prune_log", "schedule": crontab(minute="10", hour="0")},
    }
EMAIL_REPORTS_SUBJECT_PREFIX = ""
EMAIL_REPORTS_CTA = "Open the dashboard"
# A report's picture, by Debian's Chromium. High, because Superset draws a chart once it is in sight.
WEBDRIVER_BASEURL = WEBDRIVER_BASEURL_USER_FRIENDLY = f"{_settings['url']}/"
WEBDRIVER_TYPE = "chrome"
WEBDRIVER_WINDOW = {"dashboard": (1600, 5000), "slice": (1600, 1200), "pixel_density": 1}
WEBDRIVER_OPTION_ARGS = [
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    # Chromium refuses its sandbox to root. It opens Superset's own pages only, because no name resolves.
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
WEBDRIVER_CONFIGURATION = {
    "options": {"capabilities": {}, "preferences": {}},
    "service": {"executable_path": "/usr/bin/chromedriver", "log_output": "/dev/null", "service_args": [], "port": 0},
}
SCREENSHOT_LOCATE_WAIT = 60
SCREENSHOT_LOAD_WAIT = 120
