"""Write the chart's manifests to the standard output, for each of its kinds of installation."""

import sys
from pathlib import Path

import helm_python

CHART = Path(__file__).parent / "helm/threadkeeper"
SETTINGS: dict[str, object] = {"SECRET_KEY": "…", "DATABASE_URL": "postgres://postgres/threadkeeper"}
SETTINGS |= {"REDIS_URL": "redis://redis", "TOKENS_PER_DAY": 1_000_000, "AGENT_TEMPERATURE": 0.5}
INSTALLATIONS: list[dict[str, object]] = [
    {"settings": SETTINGS},
    {"existingSecret": "settings", "rootPath": "/chat", "ingress": {"enabled": False}},
    {"settings": SETTINGS, "sessionStore": "database", "servers": {"replicas": 3, "processes": 1}},
]
REFUSED: list[dict[str, object]] = [
    {},
    {"settings": SETTINGS, "sessionStore": "memory"},
    {"settings": SETTINGS, "servers": {"replicas": 2}},
]


def main() -> None:
    """Render every installation; fail if one that cannot work is rendered."""
    with helm_python.Chart.load(str(CHART)) as chart:
        for values in INSTALLATIONS:
            for manifest in chart.render(values, name="threadkeeper", namespace="threadkeeper").values():
                if "e+0" in manifest:
                    sys.exit("A number is written as a float.")
                if manifest.strip():
                    sys.stdout.write(f"---\n{manifest}\n")
        for values in REFUSED:
            try:
                chart.render(values, name="threadkeeper", namespace="threadkeeper")
            except helm_python.HelmError:
                continue
            sys.exit(f"These values should be refused: {values}")


if __name__ == "__main__":
    main()
