def report(sales, prediction):
    lines = ["Sales report", "", f"weeks: {len(sales)}", f"smallest: {sales.min()}", f"largest: {sales.max()}"]
    return "\n".join([*lines, f"prediction: {prediction}"])
