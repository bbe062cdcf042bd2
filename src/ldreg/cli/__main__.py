from ldreg.cli.parser import entry

entry()
