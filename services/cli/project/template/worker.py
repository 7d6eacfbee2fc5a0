"""The tools of the agent: each function is one, with its types as arguments."""

from runyard_worker import Context, Worker

worker = Worker("desk-worker")


@worker.tool(effect="at_most_once")
def refund(order: int, reason: str, context: Context) -> str:
    """Pays the price of an order back."""
    context.progress(f"looking order {order} up")
    return f"order {order} was paid back because {reason}"


if __name__ == "__main__":
    worker.main()
