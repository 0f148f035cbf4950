"""The interface document that a bank's engineers are given, written from the bank's profile and,
where a site is known, from what the site says of this bank's line (`places`); it holds no secret.

`facts` gathers what there is to say, with samples that the front-end's own core has answered; the chapters
say it in both languages through a `Page`; `html` sets the Markdown as a page that prints.
"""
