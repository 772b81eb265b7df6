import time, pytest, psutil, os
from tests.browser.conftest import *
from playwright.sync_api import sync_playwright
def cpu():
    out={}
    for c in psutil.Process().children(recursive=True):
        try:
            cl=c.cmdline(); k="node" if "node" in cl[0] else next((a for a in cl if a.startswith("--type=")),"browser")
            if "utility" in k: k+=next((a for a in cl if "utility-sub-type" in a),"")[-20:]
            t=c.cpu_times(); out[c.pid]=(k,t.user+t.system)
        except psutil.Error: pass
    return out
def measure(label, f, browser_args, site, cdn_files, ctx):
    with sync_playwright() as p:
        b=p.chromium.launch(executable_path=CHROMIUM,args=[*ARGUMENTS,*browser_args])
        c=b.new_context(**ctx); cdn.answer(c, cdn_files); v=Visitor(c, site.origin); v.log_in(); v.go("/overview")
        a=cpu(); t=time.time(); 
        for i in range(8): f(v)
        d=cpu(); dt=time.time()-t
        s={}
        for pid,(k,x) in d.items(): s[k]=s.get(k,0)+(x-a.get(pid,(k,0))[1])/8
        print(label, "wall %.2f"%(dt/8), "total cpu %.2f"%sum(s.values()), {k:round(x,2) for k,x in s.items() if x>.01})
        v.close(); b.close()
def test_prof(site, cdn_files):
    ov=lambda v: v.go("/overview")
    vp={"viewport":{"width":1280,"height":900}}
    print()
    measure("base", ov, [], site, cdn_files, vp)
    measure("small", ov, [], site, cdn_files, {"viewport":{"width":1000,"height":600}})
    measure("chart", lambda v: v.go("/daily-utilization"), [], site, cdn_files, vp)
    measure("limit", ov, ["--renderer-process-limit=1","--disable-site-isolation-trials"], site, cdn_files, vp)
    measure("inproc", ov, ["--in-process-gpu"], site, cdn_files, vp)
    def ctx(v):
        c=v.context.browser.new_context(**vp); w=Visitor(c, site.origin); w.go("/login"); w.close()
    measure("context", ctx, [], site, cdn_files, vp)
