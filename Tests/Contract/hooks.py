"""What schemathesis may not count as a failure, each with the reason. Everything that it finds besides is one.

A schema can say what a request looks like, and not what a request means: that a time is over, or that a smaller window allows more than a
larger one. Such requests are refused with 422 and with one of the codes below at the place that is wrong. Any other refusal of a request that the
schema allows, such as `wrong_type` or `required`, says that schema and gateway differ.
"""

import schemathesis

# Codes in `errors[]`, or of the problem itself, that no schema can foresee.
OF_MEANING = {
    "conflict",  # two members contradict each other
    "too_early", "too_late",  # a time against the clock, or against another time
    "unknown", "sender_not_found", "duplicate", "mismatch",  # ids that name nothing, the same thing twice, or something else
    "idempotency_key_reused", "no_eligible_sender", "confirmation_mismatch",
}
# Cursors are opaque: one that no page has given is refused. Of URLs, hosts that may not be called are. Quiet hours end within 12 hours. Zones and
# domains are names of lists that are not ours.
PLACES_OF_MEANING = {"/cursor", "/after", "/url", "/limits/quiet_hours", "/quiet_hours", "/time_zone", "/address"}


def problem(response):
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def is_about_meaning(body, case):
    places = body.get("errors") or []
    if not places:
        return body.get("code") in OF_MEANING
    return all(
        place["code"] in OF_MEANING or place["pointer"] in PLACES_OF_MEANING or is_national(place, case)
        # An account has so many of these already.
        or (place["code"] == "too_many" and place["pointer"] == "")
        # Which thresholds there are depends on the kind of alert.
        or (body["code"] == "invalid_alert_rule" and place["code"] == "unsupported") for place in places)


def is_national(place, case):
    """A number with its leading 0 is one only for an account that has a calling code."""
    given = (case.body if place["pointer"].startswith("/to") and isinstance(case.body, dict) else case.query) or {}
    return place["code"] == "invalid_number" and str(given.get("to", "")).startswith("0")


@schemathesis.hook
def filter_failure(context, failure, case, response):
    body = problem(response)
    kind = getattr(failure, "code", None)
    if kind == "ST202" and response.status_code == 422:
        return not is_about_meaning(body, case)
    # From the sixth wrong key of a minute on an address is told to wait, whatever the key; `response` is the one to the right key.
    if kind == "ST401":
        return "got `429 Too Many Requests`" not in failure.message
    # A batch is taken apart: what is wrong with an item is said in the answer, beside that item.
    if kind == "ST201" and context.operation.label == "POST /v1/messages/batch":
        return body.get("rejected", 0) == 0
    return True


@schemathesis.hook
def before_call(context, case, kwargs):
    """Sequences of requests go without idempotency keys: a repeated one answers with what was made before, which may be gone by now."""
    if case.meta is not None and case.meta.phase.name.value == "stateful":
        case.headers.pop("Idempotency-Key", None)
    name_real_senders(case)


senders = []


@schemathesis.hook
def after_call(context, case, response):
    if context.operation.label == "POST /v1/senders" and response.status_code == 201:
        senders.append(response.json()["id"])


def name_real_senders(case):
    """Pools of senders that do not exist are refused before anything else is looked at."""
    members = case.body.get("members") if "/v1/pools" in case.path and isinstance(case.body, dict) else None
    if not senders or not isinstance(members, list) or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    for member, sender in zip(members, reversed(senders)):
        member["sender"] = sender
    del members[len(senders):]
