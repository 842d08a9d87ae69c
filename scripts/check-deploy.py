"""Validates the files under deploy/ and docker-compose.yml. Run by scripts/check-deploy, which installs the
libraries. Problems are collected, so that one run reports all of them."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from compose_spec import PyCompose
from kubernetes_validate import ValidationError, validate
from pydantic import ValidationError as ModelError

AVALON, SECRETS = sys.argv[1:]
COMPOSE = Path("docker-compose.yml")
KUBERNETES = Path("deploy/kubernetes")
OPERATIONS = Path("docs/operations.md")

# Secrets that a role must not hold: whoever breaks into it would have them.
FORBIDDEN = {
    "api": {"pay_merchant_key", "pay_api_v3_key", "wechat_app_secret", "webhook_secret"},
    "workers": {"admin_token"},
}
MIGRATE = {"database_url"}

problems = []


def check(holds, problem):
    if not holds:
        problems.append(problem)


def queues():
    """Names of the queues that the code defines."""
    sources = (file.read_text() for root in ("shared/core/src", "workers/src") for file in Path(root).rglob("*.rs"))
    return {name for source in sources for name in re.findall(r'QueueName::new\("([a-z-]+)"\)', source)}


def check_secrets(what, role, secrets):
    """Checks that a container holds no secret that its role does not need."""
    surplus = set(secrets) - MIGRATE if role == "migrate" else set(secrets) & FORBIDDEN.get(role, set())
    check(not surplus, f"{what}: avalon {role} does not need {sorted(surplus)}")


def accepts(what, role, environment):
    """Checks that the binary accepts this environment as its configuration."""
    environment = {key: str(value) for key, value in environment.items()}
    run = subprocess.run([AVALON, "config", "check", "--role", role], env=environment, capture_output=True, text=True)
    check(run.returncode == 0, f"{what}: avalon {role}: {run.stderr.strip()}")


# --- Compose --------------------------------------------------------------------------------------


def settings(file):
    lines = (line for line in Path(file).read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def substituted(node, values):
    """A tree with ${NAME}, ${NAME:-default} and ${NAME:?problem} substituted in its strings, and $$ replaced by $."""
    if isinstance(node, dict):
        return {key: substituted(item, values) for key, item in node.items()}
    if isinstance(node, list):
        return [substituted(item, values) for item in node]

    def value(match):
        if match[0] == "$$":
            return "$"
        name, default = match["name"], match["default"]
        if not values.get(name) and default is None:
            problems.append(f"{COMPOSE}: {name} is not set")
        return values.get(name) or default or ""

    if not isinstance(node, str):
        return node
    return re.sub(r"\$\$|\$\{(?P<name>\w+)(?::-(?P<default>[^}]*)|:\?[^}]*)?\}", value, node)


def check_compose():
    # As Compose reads it: merge keys resolved, variables substituted.
    merged = {key: value for key, value in yaml.safe_load(COMPOSE.read_text()).items() if not key.startswith("x-")}
    for secret in merged["secrets"].values():
        check((Path(SECRETS) / Path(secret["file"]).name).is_file(), f"scripts/compose-secrets does not create {secret}")
    for file in ("deploy/compose/env.example", "deploy/compose/simulator.env"):
        filled = substituted(merged, settings(file))
        try:
            # Unknown keys are an error. The parser does not support anchors, so they are expanded.
            compose = PyCompose.from_yaml(yaml.dump(filled, Dumper=Plain))
            compose.validate()
        except Exception as error:
            problems.append(f"{COMPOSE} with {file}: {error}")
        check_services(file, filled["services"])
        check_privileges(file, filled)
        certificates = substituted(yaml.safe_load(Path("deploy/compose/certificates.yml").read_text()), settings(file))
        api = certificates["services"]["api"]
        check(set(api["secrets"]) <= merged["secrets"].keys(), f"certificates.yml names unknown secrets: {api['secrets']}")


def check_privileges(file, compose):
    what = f"{COMPOSE} with {file}"
    superuser = compose["services"]["postgres"]["environment"]["POSTGRES_USER"]
    user = urlsplit((Path(SECRETS) / "database_url").read_text()).username
    check(user != superuser, f"{what}: the service connects to Postgres as its superuser")
    created = Path("deploy/compose/postgres/application-role.sh").read_text()
    check(f"CREATE ROLE {user} LOGIN" in created and "NOSUPERUSER" in created, f"{what}: no script creates the role {user}")
    proxies = compose["services"]["api"]["environment"]["AVALON_HTTP__TRUSTED_PROXIES"]
    subnet = compose["networks"]["outside"]["ipam"]["config"][0]["subnet"]
    check(proxies == subnet, f"{what}: trusts {proxies!r} as proxies, but they connect from {subnet}")


class Plain(yaml.SafeDumper):
    def ignore_aliases(self, data):
        return True


def check_services(file, services):
    consumed, run_by = set(), set()
    for name, service in services.items():
        if "avalon-wx" not in service["image"]:
            continue
        role, *arguments = service["command"]
        environment = dict(service["environment"])
        for key, value in environment.items():
            mounted = str(value).removeprefix("/run/secrets/")
            if mounted != str(value):
                check(mounted in service["secrets"], f"{COMPOSE}: {name} does not mount the secret {mounted}")
                environment[key] = f"{SECRETS}/{mounted}"
        accepts(f"{COMPOSE} with {file}: {name}", role, environment)
        check_secrets(f"{COMPOSE} with {file}: {name}", role, service["secrets"])
        if role == "workers":
            consumed |= set(arguments[1].split(","))
            # These would prevent scaling.
            check(not {"ports", "container_name", "hostname"} & service.keys(), f"{COMPOSE}: {name} cannot be scaled")
        # Services that the documentation runs commands with.
        if name in re.findall(r"docker compose run --rm --no-deps (\S+)", OPERATIONS.read_text()):
            accepts(f"{OPERATIONS} with {file}: {name}", "workers", environment)
            run_by.add(name)
    check(run_by, f"{OPERATIONS} runs commands with no service of {COMPOSE}")
    check(consumed == queues(), f"{COMPOSE}: workers for {consumed}, queues {queues()}")


# --- Kubernetes -----------------------------------------------------------------------------------


def check_kubernetes():
    secret = yaml.safe_load((KUBERNETES / "secrets.example.yaml").read_text())
    for folder in [KUBERNETES / "base", *(KUBERNETES / "overlays").iterdir()]:
        run = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
        if run.returncode:
            problems.append(f"{folder}: {run.stderr.strip()}")
            continue
        check_manifests(folder, list(yaml.safe_load_all(run.stdout)), secret)


def check_manifests(folder, manifests, secret):
    for manifest in [*manifests, secret]:
        check_schema(f"{folder}: {manifest['kind']} {manifest['metadata']['name']}", manifest)
    named = {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in manifests}
    consumed, scaled = set(), set()
    for (kind, name), manifest in named.items():
        if kind in ("Deployment", "Job"):
            pod = manifest["spec"]["template"]["spec"]
            volume = pod["volumes"][0]["secret"]
            mounted = {item["key"] for item in volume.get("items", [])} or secret["stringData"].keys()
            consumed |= check_container(f"{folder}: {name}", pod["containers"][0], named, secret, mounted)
            check(volume["secretName"] == secret["metadata"]["name"], f"{folder}: {name} mounts the wrong secret")
            labels = manifest["spec"]["template"]["metadata"]["labels"]
            check(selected(labels, manifests, "Egress"), f"{folder}: {name} has no NetworkPolicy of its own")
        if kind == "Deployment":
            check(("PodDisruptionBudget", name) in named, f"{folder}: {name} has no PodDisruptionBudget")
        if kind == "ScaledObject":
            spec = manifest["spec"]
            target = named.get(("Deployment", spec["scaleTargetRef"]["name"]))
            check(target, f"{folder}: {name} scales an unknown Deployment")
            if target:
                queue = target["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"]
                stream = spec["triggers"][0]["metadata"]["stream"]
                check(stream == f"avalon:v1:{{{queue}.0}}:ready", f"{folder}: {name} scales {queue} by {stream}")
                scaled.add(queue)
            check(("TriggerAuthentication", spec["triggers"][0]["authenticationRef"]["name"]) in named, f"{folder}: {name}")
        if kind == "TriggerAuthentication":
            for reference in manifest["spec"]["secretTargetRef"]:
                check(reference["key"] in secret["stringData"], f"{folder}: {name}: no key {reference['key']}")
    deny = named.get(("NetworkPolicy", "avalon-default-deny"), {}).get("spec")
    check(deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}, f"{folder}: traffic is not denied by default")
    check(consumed == queues() == scaled, f"{folder}: workers for {consumed}, scaled {scaled}, queues {queues()}")


def selected(labels, manifests, direction):
    """Whether a policy with rules selects pods by their role."""
    policies = (manifest["spec"] for manifest in manifests if manifest["kind"] == "NetworkPolicy")
    return any(
        direction in policy["policyTypes"]
        and "avalon/role" in policy["podSelector"].get("matchLabels", {})
        and policy["podSelector"]["matchLabels"].items() <= labels.items()
        for policy in policies
    )


def check_container(what, container, named, secret, mounts):
    """Checks that the binary accepts the configuration of the container; returns the queues it consumes."""
    environment = {variable["name"]: variable["value"] for variable in container.get("env", [])}
    for source in container.get("envFrom", []):
        config = named.get(("ConfigMap", source["configMapRef"]["name"]))
        check(config, f"{what}: its ConfigMap is missing")
        environment |= (config or {"data": {}})["data"]
    for key, value in environment.items():
        mounted = value.removeprefix("/secrets/")
        if mounted != value:
            check(mounted in secret["stringData"], f"{what}: the secret has no {mounted}")
            check(mounted in mounts, f"{what}: {mounted} is not mounted")
            environment[key] = f"{SECRETS}/{mounted}"
    role = container["args"][0]
    accepts(what, role, environment)
    check_secrets(what, role, mounts)
    return {environment["AVALON_WORKERS__QUEUES"]} if role == "workers" else set()


def check_schema(what, manifest):
    group = manifest["apiVersion"].split("/")[0]
    try:
        if group == "keda.sh":
            strict(getattr(keda, manifest["kind"]), manifest)
        else:
            validate(manifest, "1.37.0", strict=True)
    except (ValidationError, ModelError) as error:
        problems.append(f"{what}: {error}")


def strict(model, manifest):
    """Validates and reports unknown fields, which KEDA's models ignore."""
    parsed = model.model_validate(manifest).model_dump(by_alias=True, exclude_none=True)

    def known(path, given, parsed):
        if isinstance(given, dict):
            for key in given:
                check(isinstance(parsed, dict) and key in parsed, f"{manifest['kind']} {manifest['metadata']['name']}: {path}{key} is not in the schema")
                if isinstance(parsed, dict) and key in parsed:
                    known(f"{path}{key}.", given[key], parsed[key])
        elif isinstance(given, list):
            for index, item in enumerate(given):
                known(f"{path}{index}.", item, parsed[index])

    known("", {key: value for key, value in manifest.items() if key != "metadata"}, parsed)


# --- Image ----------------------------------------------------------------------------------------


def check_image():
    """Everything the build reads must be in the build context of the image."""
    ignored = [line for line in Path(".dockerignore").read_text().splitlines() if line and line[0] not in "#*"]
    sources = Path(f"{AVALON}.d").read_text().split(": ", 1)[1].split()
    for source in (Path(source).resolve().relative_to(Path.cwd()) for source in sources):
        check(source.parts[0] not in ignored, f".dockerignore hides {source}, which the build reads")


check_compose()
check_kubernetes()
check_image()
if problems:
    sys.exit("\n".join(problems))
print("docker-compose.yml and the manifests are valid")
