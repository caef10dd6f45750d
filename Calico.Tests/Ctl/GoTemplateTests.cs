using System.Text.Json;
using Calico.Ctl;
using Calico.Ctl.Output.Templates;

namespace Calico.Tests.Ctl;

[Layer("unit")]
public sealed class GoTemplateTests
{
    private static readonly JsonElement Pools = JsonDocument.Parse("""
        {"kind":"IPPoolList","apiVersion":"projectcalico.org/v3","metadata":{"resourceVersion":"7"},"items":[
          {"kind":"IPPool","metadata":{"name":"a","labels":{"zone":"x","app":"y"}},"spec":{"cidr":"10.0.0.0/24","natOutgoing":true,"blockSize":26,"allowedUses":["Workload","Tunnel"]}},
          {"kind":"IPPool","metadata":{"name":"b"},"spec":{"cidr":"10.0.1.0/24","blockSize":28}}]}
        """).RootElement;

    [Theory]
    [InlineData("{{range .}}{{range .Items}}{{.ObjectMeta.Name}},{{end}}{{end}}", "a,b,")]
    [InlineData("{{range .}}{{.Kind}} {{.APIVersion}} {{.ResourceVersion}}{{end}}", "IPPoolList projectcalico.org/v3 7")]
    [InlineData("{{range .}}{{range .Items}}{{.Name}}={{.Spec.CIDR}}{{\"\\n\"}}{{end}}{{end}}", "a=10.0.0.0/24\nb=10.0.1.0/24\n")]
    [InlineData("{{range .}}{{range .Items}}{{if .Spec.NATOutgoing}}nat{{else}}no{{end}} {{end}}{{end}}", "nat no ")]
    [InlineData("{{range .}}{{range .Items}}{{if eq .Name \"a\"}}1{{else if eq .Name \"b\" \"c\"}}2{{else}}3{{end}}{{end}}{{end}}", "12")]
    [InlineData("{{range .}}{{range $i, $p := .Items}}{{$i}}:{{$p.Name}} {{end}}{{end}}", "0:a 1:b ")]
    [InlineData("{{range .}}{{range .Items}}{{join .Spec.AllowedUses \"+\"}};{{end}}{{end}}", "Workload+Tunnel;;")]
    [InlineData("{{range .}}{{range .Items}}{{joinAndTruncate .Labels \",\" 8}};{{end}}{{end}}", "app=y...;;")]
    [InlineData("{{range .}}{{range .Items}}{{with .Spec.AllowedUses}}{{index . 1}}{{else}}none{{end}} {{end}}{{end}}", "Tunnel none ")]
    [InlineData("{{range .}}{{range .Items}}{{printf \"%-4s|%3d|%q\" .Name .Spec.BlockSize .Name}};{{end}}{{end}}", "a   | 26|\"a\";b   | 28|\"b\";")]
    [InlineData("{{range .}}{{len .Items}} {{(index .Items 1).Name}}{{end}}", "2 b")]
    [InlineData("{{range .}}{{range .Items}}{{if and .Spec.NATOutgoing (gt .Spec.BlockSize 25)}}{{.Name}}{{end}}{{end}}{{end}}", "a")]
    [InlineData("{{range .}}{{$n := 0}}{{range .Items}}{{$n = .Spec.BlockSize}}{{end}}{{$n}}{{end}}", "28")]
    [InlineData("{{range .}}{{range .Items}}{{.Name}}{{break}}{{end}}{{end}}", "a")]
    [InlineData("{{- range . -}} {{- range .Items }} {{.Name -}} {{/* nothing */ -}} {{ end }}{{end}}", " a b")]
    [InlineData("{{range .}}{{.Name | printf \"<%s>\"}}{{end}}", "<>")]
    [InlineData("{{range $}}{{range .Items}}{{.Labels.zone}}{{not .Spec.NATOutgoing}} {{end}}{{end}}", "xfalse true ")]
    [InlineData("AS {{config \"asnumber\"}} {{print 1.5 true `}}`}}", "AS 64512 1.5true}}")]
    public void A_template_prints_what_gos_would(string template, string expected) =>
        Assert.Equal(expected, new GoTemplate(template, _ => "64512").Render([Pools]));

    [Theory]
    [InlineData("{{range .}}", "has no {{end}}")]
    [InlineData("{{end}}", "unexpected {{end}}")]
    [InlineData("a\nb {{.Name", "template:2: an action has no }}")]
    [InlineData("{{frobnicate .}}", "no function frobnicate")]
    [InlineData("{{$x}}", "undefined variable $x")]
    [InlineData("{{range .}}{{.Kind.Name}}{{end}}", "can't evaluate field Name")]
    [InlineData("{{(len .}}", "a parenthesis is not closed")]
    [InlineData("{{template \"x\"}}", "template is not supported")]
    [InlineData("{{range .}}{{index .Items 9}}{{end}}", "index 9 is out of range")]
    [InlineData("{{\"abc}}", "no }}")]
    [InlineData("{{1 2}}", "only functions take arguments")]
    public void A_template_that_is_none_says_where(string template, string expected) =>
        Assert.Contains(expected, Assert.Throws<CtlException>(() => new GoTemplate(template, _ => "").Render([Pools])).Message, StringComparison.Ordinal);

    [Fact]
    public void Deep_nesting_is_an_error_and_no_crash()
    {
        Assert.Throws<CtlException>(() => new GoTemplate("{{" + new string('(', 100_000), _ => ""));
        Assert.Throws<CtlException>(() => new GoTemplate(string.Concat(Enumerable.Repeat("{{if true}}", 100_000)), _ => ""));
    }

    [Fact]
    public async Task Get_takes_a_template_and_a_file_with_one()
    {
        using var calicoctl = new CalicoctlRunner();
        await calicoctl.RunAsync("create -f -", """{"apiVersion":"projectcalico.org/v3","kind":"IPPool","metadata":{"name":"a"},"spec":{"cidr":"10.0.0.0/24"}}""");
        var file = calicoctl.WriteFile("names.tmpl", "{{range .}}{{range .Items}}{{.Name}};{{end}}{{end}}");

        var list = await calicoctl.RunAsync(["get", "ippools", "-o", $"go-template-file={file}"]);
        var one = await calicoctl.RunAsync(["get", "ippool", "a", "-o", "go-template={{range .}}{{.Spec.CIDR}}{{end}}"]);

        Assert.Equal("a;", list.Out);
        Assert.Equal("10.0.0.0/24", one.Out);
    }
}
