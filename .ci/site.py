"""Hooks of MkDocs: pages that are made from the code, and the check that no public name lacks one.

Public are the names in `__all__` of every public package, and those without an underscore of a public module
that has no `__all__`. They are read from the source, so that nothing is imported.
"""

import ast
import re
from pathlib import Path

import griffe
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from tfplastic._shared_arguments import joined_texts, with_shared_texts

ROOT = Path(__file__).resolve().parents[1]
_KEYWORDS_FOLLOW = "_"  # the field of type `dataclasses.KW_ONLY`


class Examples(griffe.Extension):
    """Shows examples as code: Griffe's section is "Examples:", and docstrings of modules have none."""

    def on_instance(self, *, obj, **kwargs):
        """Rewrites the docstring of an object before it is parsed."""
        if obj.docstring:
            text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = re.sub(
                r"(?:^(?:>>>|\.\.\.).*\n?(?:^[^\n].*\n?)*)+", _as_section, text, flags=re.MULTILINE
            )


class SharedArguments(griffe.Extension):
    """Gives functions that `shares_arguments` decorates the arguments that `help` shows of them."""

    def on_package(self, *, pkg, **kwargs):
        """Rewrites signatures and docstrings once all modules of a package have been read."""
        for module in _modules(pkg):
            methods = [
                each for cls in module.classes.values() if not cls.is_alias for each in cls.functions.values()
            ]
            for function in [*module.functions.values(), *methods]:
                for decorator in [] if function.is_alias else function.decorators:
                    if decorator.callable_path.endswith("shares_arguments"):
                        _share(function, decorator.value.arguments, pkg)


def _modules(module):
    yield module
    for each in module.modules.values():
        if not each.is_alias:
            yield from _modules(each)


def _share(function, arguments, pkg):
    """Does the same for Griffe's objects as `shares_arguments` does for functions."""
    dataclass = pkg[arguments[0].canonical_path.partition(".")[2]]
    dataclasses = [*reversed(dataclass.mro()), dataclass]
    attributes = {name: each for base in dataclasses for name, each in base.attributes.items()}
    given = {each.name: each.value for each in arguments[1:]}
    omitted = ast.literal_eval(str(given.pop("omit", "()")))
    fields = [name for name, each in attributes.items() if "property" not in each.labels]
    keyword_only = fields[fields.index(_KEYWORDS_FOLLOW) + 1 :] if _KEYWORDS_FOLLOW in fields else []
    if any("kw_only=True" in str(decorator.value) for decorator in dataclass.decorators):
        keyword_only = fields
    names = [name for name in fields if name not in (*omitted, _KEYWORDS_FOLLOW)]
    parameters = [each for each in function.parameters if each.name != "settings"]
    for name in names:
        field = attributes[name]
        default = given.get(name, field.value)
        kinds = griffe.ParameterKind
        kind = kinds.keyword_only if name in keyword_only else kinds.positional_or_keyword
        default = None if str(default) == "REQUIRED" else default
        parameters.append(griffe.Parameter(name, annotation=field.annotation, kind=kind, default=default))
    parameters.sort(key=lambda each: each.kind is griffe.ParameterKind.keyword_only)  # stable
    function.parameters = griffe.Parameters(*parameters)
    texts = joined_texts(base.docstring.value if base.docstring else "" for base in dataclasses)
    shared = {name: texts[name] for name in names if name in texts}
    documented = function.parent if function.name == "__init__" else function
    documented.docstring.value = with_shared_texts(documented.docstring.value, shared)


def _as_section(code: re.Match) -> str:
    return "Examples:\n" + re.sub(r"^(?=.)", "    ", code[0], flags=re.MULTILINE)


def on_config(config):
    """Puts the API pages into the navigation."""
    pages = [{module.removeprefix("tfplastic."): f"api/{module}.md"} for module in public_names()]
    config.nav = [{"API": ["api/index.md", *pages]} if "API" in entry else entry for entry in config.nav]
    return config


def on_files(files, config):
    """Adds the changelog, an API page for each public package, and their index."""
    modules = public_names()
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "changelog.md", content=changelog))
    files.append(File.generated(config, "api/index.md", content=_index(modules)))
    for module, names in modules.items():
        files.append(File.generated(config, f"api/{module}.md", content=_page(module, names)))
    return files


def on_page_markdown(markdown, page, config, **kwargs):
    """Names runs without links: their directories are in the repository and not on the site."""
    folder = Path(config.docs_dir, page.file.src_uri).parent

    def text_of_run(link):
        is_run = (folder / link[2] / "status.json").is_file()
        return link[1] if is_run else link[0]

    return re.sub(r"\[([^\]]*)\]\(([^)\s]+)\)", text_of_run, markdown)


def on_post_build(config):
    """Raises `PluginError` where the built pages lack a public name."""
    pages = "".join(page.read_text("utf-8") for page in Path(config.site_dir, "api").glob("*.html"))
    anchors = set(re.findall(r'id="(tfplastic[\w.]*)"', pages))
    wanted = [f"{module}.{name}" for module, names in public_names().items() for name in names]
    if missing := [name for name in wanted if name not in anchors]:
        raise PluginError(f"No API page has {', '.join(missing)}. Is there a docstring?")


def public_names() -> dict[str, list[str]]:
    """Returns the public names of each public module, without its submodules, sorted by module."""
    found, waiting = {}, ["tfplastic"]
    while waiting:
        module = waiting.pop()
        names = _names(module)
        submodules = _submodules(module, names)
        waiting += [f"{module}.{name}" for name in submodules]
        found[module] = [name for name in names if name not in submodules]
    return {module: found[module] for module in sorted(found) if found[module]}


def _names(module: str) -> list[str]:
    """Returns `__all__` of a module, or else its top-level names without an underscore."""
    public, defined, origins = [], [], {}
    for node in ast.parse(_source(module).read_text("utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                defined.append(name)
            case ast.ImportFrom(module=parent):
                origins |= {alias.name: f"{parent}.{alias.name}" for alias in node.names}
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                public += ast.literal_eval(value)
            case ast.AugAssign(target=ast.Name(id="__all__"), value=ast.Attribute(value=ast.Name(id=part))):
                public += _names(origins[part])
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                defined.append(name)
    return public or [name for name in defined if not name.startswith("_")]


def _submodules(module: str, names: list[str]) -> list[str]:
    """Returns those of a package's public names that are modules themselves."""
    tree = ast.parse(_source(module).read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != module]
    contents = {alias.name for node in imports for alias in node.names}
    return [name for name in names if name not in contents and _source(f"{module}.{name}")]


def _source(module: str) -> Path | None:
    """Returns the file of a module, None where there is no such module."""
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _summary(module: str) -> str:
    """Returns the first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(_source(module).read_text("utf-8"))) or ""
    return re.split(r"(?<=[.?!])\s", text.replace("\n", " "), maxsplit=1)[0]


def _page(module: str, names: list[str]) -> str:
    """Returns the page of a module: its docstring, then every public name under a heading."""
    blocks = [f"# {module}", f"::: {module}\n    options: {{members: false}}"]
    for name in names:
        path = f"{module}.{name}"
        if _source(path):  # A module of the same name holds it, which Griffe would show in its place.
            blocks.append(f"[](){{#{path}}}")
            path += f".{name}"
        blocks.append(f"::: {path}\n    options: {{show_root_heading: true, show_root_toc_entry: true}}")
    return "\n\n".join([*blocks, ""])


def _index(modules) -> str:
    rows = [f"| [{module}]({module}.md) | {_summary(module)} |" for module in modules]
    return "\n".join(["# API", "", "| package | contents |", "|---|---|", *rows, ""])
