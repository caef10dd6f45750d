using System.CommandLine;
using Calico.Node.Lab;

return await new RootCommand("calico-node") { LabCommand.Create() }.Parse(args).InvokeAsync();
