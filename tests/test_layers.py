"""No module of the package imports itself, by whatever way round."""

import grimp


def find_circles(graph: grimp.ImportGraph) -> list[set[str]]:
    """Find the circles of imports: sets of modules, each of which reaches all others (Tarjan 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[set[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        path.append(module)
        for imported in graph.find_modules_directly_imported_by(module):
            if imported not in order:
                visit(imported)
                lowest[module] = min(lowest[module], lowest[imported])
            elif imported in path:
                lowest[module] = min(lowest[module], order[imported])
        if lowest[module] == order[module]:
            circle = set(path[path.index(module) :])
            del path[path.index(module) :]
            if len(circle) > 1:
                found.append(circle)

    for module in sorted(graph.modules):
        if module not in order:
            visit(module)
    return found


def test_no_module_imports_itself_in_a_circle() -> None:
    """Imports inside of functions count, those for type checkers alone do not."""
    graph = grimp.build_graph("geodeeplab", exclude_type_checking_imports=True)
    circles = find_circles(graph)
    assert [sorted(circle) for circle in circles] == []


def test_a_circle_is_found() -> None:
    graph = grimp.ImportGraph()
    for importer, imported in (("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")):
        graph.add_import(importer=importer, imported=imported)
    assert find_circles(graph) == [{"a", "b", "c"}]
