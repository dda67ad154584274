"""Print the main packages of poetry.lock as lines of a requirements file."""

import tomli

with open("poetry.lock", "rb") as file:
    lock = tomli.load(file)

for package in lock["package"]:
    if "main" in package["groups"]:
        print(f"{package['name']}=={package['version']}")
        for archive in package["files"]:
            print("  # ", archive["file"], archive["hash"])
